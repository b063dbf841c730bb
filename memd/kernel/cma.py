"""CMA areas. Document: Documentation/ABI/testing/sysfs-kernel-mm-cma; CONFIG_CMA_SYSFS.

Facts that bite: alloc_pages_success and alloc_pages_fail are there since 5.13, release_pages_success since 6.9, total_pages and
available_pages only in kernels of 2025 and later, so each file is optional; all count pages, not allocations, and pages of this machine's
size, which is not always 4096; available_pages is a snapshot without a lock. Without CONFIG_CMA_SYSFS only CmaTotal and CmaFree of
/proc/meminfo speak of CMA.
"""

from __future__ import annotations

import os

from memd.kernel.root import Root
from memd.model import CmaRegion

DIRECTORY = "sys/kernel/mm/cma"
FILES = {
    "size": "total_pages",
    "available": "available_pages",
    "alloc_success": "alloc_pages_success",
    "alloc_fail": "alloc_pages_fail",
}
COUNTERS = frozenset({"alloc_success", "alloc_fail"})


def read(root: Root, page: int | None = None) -> tuple[CmaRegion, ...]:
    """Every area, by name: sizes in bytes, the two counters in pages. Empty where the kernel tells of none.

    `page`: bytes of a page, by default this machine's. BadKernelFile for a file that holds no number.
    """
    page = os.sysconf("SC_PAGE_SIZE") if page is None else page
    return tuple(_region(root, name, page) for name in root.list(DIRECTORY) or ())


def released(root: Root, name: str, page: int | None = None) -> int | None:
    """Bytes that one area was given back since boot, by whomever; None where the kernel does not count."""
    pages = root.integer(f"{DIRECTORY}/{name}/release_pages_success")
    return None if pages is None else pages * (os.sysconf("SC_PAGE_SIZE") if page is None else page)


def _region(root: Root, name: str, page: int) -> CmaRegion:
    values = {field: root.integer(f"{DIRECTORY}/{name}/{file}") for field, file in FILES.items()}
    return CmaRegion(
        name,
        **{field: value if value is None or field in COUNTERS else value * page for field, value in values.items()},
    )
