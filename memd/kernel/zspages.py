"""How much of a CMA region zram's pages take. Documents: Documentation/admin-guide/mm/pagemap.rst (/proc/kpageflags, 2.6.25), CMA's debugfs
(mm/cma_debug.c, CONFIG_CMA_DEBUGFS); nr_zspages of /proc/vmstat since 4.8.

Facts that bite: a zspage has no flag of its own in kpageflags. In a CMA region a page that is in use is movable: it is on an LRU list,
mapped, a page of a movable driver, which in practice is zsmalloc, or it was given out by CMA itself. What is left after the others is
zram's, and at most that: free pages in per-CPU lists have no flag either. Both files are root's. Pages of this machine's size.
"""

from __future__ import annotations

import array
import os

from memd.errors import BadKernelFile
from memd.kernel.root import Root

FLAGS = "proc/kpageflags"
DEBUG = "sys/kernel/debug/cma"
VMSTAT = "proc/vmstat"
# include/uapi/linux/kernel-page-flags.h: LRU, SLAB, BUDDY, MMAP, ANON, HWPOISON, NOPAGE, OFFLINE, PGTABLE; and of kernel-only bits RESERVED
OTHERS = sum(1 << bit for bit in (5, 7, 10, 11, 12, 19, 20, 23, 26, 32))
STEP = 1 << 20  # bytes of kpageflags at once


def total(root: Root, page: int | None = None) -> int | None:
    """Bytes of pages that zsmalloc has, for zram or zswap; None on a kernel that does not count them."""
    text = root.read(VMSTAT)
    for line in (text or "").splitlines():
        key, _, value = line.partition(" ")
        if key == "nr_zspages":
            if not (value.isascii() and value.isdigit()):
                raise BadKernelFile(root.path(VMSTAT), line)
            return int(value) * (page or os.sysconf("SC_PAGE_SIZE"))
    return None


def in_regions(root: Root, page: int | None = None) -> dict[str, int]:
    """Region -> bytes of it that zram's pages take, at most. Empty where the kernel does not tell; OSError where it does not tell us."""
    page = page or os.sysconf("SC_PAGE_SIZE")
    if not root.exists(FLAGS):
        return {}
    found = {}
    for name in root.list(DEBUG) or ():
        base, count, used = (root.integer(f"{DEBUG}/{name}/{file}") for file in ("base_pfn", "count", "used"))
        if base is not None and count is not None and used is not None:
            found[name.removeprefix("cma-")] = max(_unflagged(root, base, count) - used, 0) * page
    return found


def _unflagged(root: Root, base: int, count: int) -> int:
    """Pages from `base` on that have none of the others' flags."""
    fd = os.open(root.path(FLAGS), os.O_RDONLY | os.O_CLOEXEC)
    try:
        end, at, found = (base + count) * 8, base * 8, 0
        while at < end and (chunk := os.pread(fd, min(STEP, end - at), at)):
            flags = array.array("Q", chunk[: len(chunk) // 8 * 8])
            found += sum(1 for word in flags if not word & OTHERS)
            at += len(chunk)
        return found
    finally:
        os.close(fd)
