"""What only debugfs tells of CMA areas: the largest free run. Source: mm/cma_debug.c; CONFIG_CMA_DEBUGFS, since 4.1.

Facts that bite: root only, and often not built in; the directory is `NAME`, on older kernels `cma-NAME`; `maxchunk` counts pages and is an
upper bound: moving what lies in the run can still fail. `alloc` and `free` beside it act when written: they are never touched.
"""

from __future__ import annotations

import os

from memd.kernel.root import Root

DIRECTORY = "sys/kernel/debug/cma"


def largest_runs(root: Root, page: int | None = None) -> dict[str, int]:
    """Bytes of the largest free run by area; without areas that do not tell. OSError where it can't be read, BadKernelFile for nonsense."""
    page = os.sysconf("SC_PAGE_SIZE") if page is None else page
    found = {}
    for directory in root.list(DIRECTORY) or ():
        pages = root.integer(f"{DIRECTORY}/{directory}/maxchunk")
        if pages is not None:
            found[directory.removeprefix("cma-")] = pages * page
    return found
