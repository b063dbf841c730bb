"""/proc/vmstat: pages that came back soon after they had been taken. Document: Documentation/admin-guide/mm/multigen_lru.rst and
mm/workingset.c; since 3.15.

Facts that bite: until 5.8 there is one counter, `workingset_refault` (file pages only), since 5.9 two, `_anon` and `_file`; all count pages
of this machine's size, sum per-CPU numbers without a lock (so a value can be a little behind the one before), and begin at 0 at boot.
"""

from __future__ import annotations

import os

from memd.errors import BadKernelFile
from memd.kernel.root import Root

NAME = "proc/vmstat"
COUNTERS = ("workingset_refault", "workingset_refault_anon", "workingset_refault_file")


def parse(text: str, path: str = NAME) -> int | None:
    """Pages that came back since boot; None where this kernel does not count."""
    lines = [line.partition(" ") for line in text.splitlines()]
    if not lines or not all(value.isascii() and value.isdigit() for _, _, value in lines):
        raise BadKernelFile(path, text)
    found = [int(value) for name, _, value in lines if name in COUNTERS]
    return sum(found) if found else None


def refaulted(root: Root, page: int | None = None) -> int | None:
    """Bytes that came back since boot; None where this kernel does not count, or has no vmstat."""
    text = root.read(NAME)
    pages = None if text is None else parse(text, root.path(NAME))
    return None if pages is None else pages * (os.sysconf("SC_PAGE_SIZE") if page is None else page)
