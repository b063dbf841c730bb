"""/proc/pagetypeinfo: how large a page block is, in which CMA moves pages. Source: mm/vmstat.c (2.6.24); for root since 5.5.

Facts that bite: only the two first lines matter here; the rest takes the zone's lock for a while, so this is read once and not polled. With
4 KiB pages a block is 4 MiB, or 2 MiB where the kernel has transparent huge pages.
"""

from __future__ import annotations

import os
import re

from memd.errors import BadKernelFile
from memd.kernel.root import Root

FILE = "proc/pagetypeinfo"
PAGES = re.compile(r"^Pages per block: +(\d+)$", re.MULTILINE)
MOST = 1 << 20


def block(root: Root, page: int | None = None) -> int | None:
    """Bytes of a page block; None where the kernel does not tell. `page`: bytes of a page, by default this machine's."""
    text = root.read(FILE)
    if text is None:
        return None
    found = PAGES.search(text)
    pages = int(found[1]) if found else 0
    if not 0 < pages <= MOST or pages & (pages - 1):
        raise BadKernelFile(root.path(FILE), text)
    return pages * (os.sysconf("SC_PAGE_SIZE") if page is None else page)
