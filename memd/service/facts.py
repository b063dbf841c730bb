"""The memory facts that one decision needs, read just before it, less what is promised and not yet taken.

A CMA area's free pages are a fact of convenience: the kernel itself refuses more than it has. So what the kernel works on, which its own
count may be without already, is not taken off once more: no request is refused that would fit. MemAvailable guards the floor, and what
nobody knows is taken off there.
"""

from __future__ import annotations

import asyncio

from memd.early import replace
from memd.errors import BadKernelFile
from memd.kernel import cma, meminfo, swaps, zram
from memd.kernel.root import Root
from memd.model import CmaRegion, Heap, HeapKind, Memory
from memd.policy import swapfill
from memd.service.ledger import Ledger


def memory(root: Root, heap: Heap, ledger: Ledger, swappable: int = 0) -> Memory:
    """OSError or BadKernelFile where the kernel can't be read: then nothing is decided."""
    info = meminfo.read(root)
    region = _region(root, heap, info.cma_total)
    promised = ledger.pending() if heap.kind is HeapKind.CMA else ledger.pending_outside()
    available = region.available if region else None
    return Memory(
        total=info.total,
        available=max(info.available - promised, 0),
        cma_free=info.cma_free,
        region_size=region.size if region else None,
        region_available=None if available is None else max(available - ledger.waiting(heap.area), 0),
        swappable=swappable,
    )


def outside(root: Root, heap: Heap, size: int) -> int:
    """Bytes of memory outside of CMA areas that a request may cost: all but what is free in its own area, where pages of others have to
    find another place. Where the kernel does not say, all."""
    if heap.kind is not HeapKind.CMA:
        return size
    try:
        info = meminfo.read(root)
        region = _region(root, heap, info.cma_total)
    except (OSError, BadKernelFile):
        return size
    if region is None or region.size is None or info.cma_total is None or info.cma_free is None:
        return size
    others = info.cma_total - region.size  # all of them may be free
    return max(size - max(info.cma_free - others, 0), 0)


def released(root: Root, area: str) -> int | None:
    """Bytes that a CMA area was given back since boot; None where nothing tells."""
    try:
        return cma.released(root, area)
    except (OSError, BadKernelFile):
        return None


async def swappable(root: Root) -> int:
    """Bytes that can still be swapped out, zram counted by what it costs. In a thread: zram's files may keep a reader waiting."""
    return await asyncio.to_thread(_swappable, root)


def _swappable(root: Root) -> int:
    return swapfill.fill(meminfo.read(root), swaps.read(root) or (), zram.read_all(root)).free


def _region(root: Root, heap: Heap, cma_total: int | None) -> CmaRegion | None:
    """Kernels that tell no sizes of areas tell that of all areas: of a single one that is its own."""
    if heap.kind is not HeapKind.CMA:
        return None
    regions = cma.read(root)
    region = next((region for region in regions if region.name == heap.region), None)
    return replace(region, size=cma_total) if region and region.size is None and len(regions) == 1 else region
