"""A map as pieces for the planner's search: what stays, what may move, what the kernel places, and what is free."""

from __future__ import annotations

from collections.abc import Sequence

from memd.errors import InvalidArgs
from memd.model_map import MIB, PAGE_BLOCK, DeviceTree, IoEntry, MemoryMap, Range, Region, RegionKind
from memd.policy.mapask import LOW
from memd.policy.mapfit import Piece, Span, subtract

TOP = 1 << 64


def span(one: Range) -> Span:
    return (one.base, one.end)


def block(shape: MemoryMap) -> int:
    """The page block: CMA areas begin and end on one."""
    return shape.page_block or PAGE_BLOCK


def bound(kind: RegionKind, shape: MemoryMap) -> int:
    """What base and size of a region are rounded to: 1 MiB, for CMA the page block."""
    return max(MIB, block(shape)) if kind is RegionKind.CMA else MIB


def rounded(size: int, bound: int) -> int:
    return -(-size // bound) * bound


def alignment(region: Region, shape: MemoryMap) -> int:
    return max(bound(region.kind, shape), region.alignment or 1)


def windows(region: Region) -> tuple[Span, ...]:
    """alloc-ranges; the vendor's 0xffffffff means 4 GiB less one byte, and is taken at its word."""
    return tuple(span(one) for one in region.alloc_ranges) or ((0, TOP),)


def is_movable(region: Region, names: Sequence[str]) -> bool:
    """A region at an address may move if Linux alone uses it (reusable), or if somebody said so."""
    return region.fixed is not None and (region.kind is RegionKind.CMA or region.name in names)


def named(shape: MemoryMap, name: str) -> Region:
    """By node name, path, label, or the name before its @ where only one has it. InvalidArgs, listing what there is."""
    short = [one for one in shape.regions if one.name.partition("@")[0] == name]
    found = shape.region(name) or (short[0] if len(short) == 1 else None)
    if found is None or not found.path:
        names = ", ".join(one.name for one in shape.regions if one.path) or "none"
        raise InvalidArgs(f"no region {name!r} in {shape.source}; there are: {names}")
    return found


def movable(shape: MemoryMap, names: Sequence[str], target: str) -> tuple[Piece, ...]:
    """Pieces of the regions other than `target` that may move; devices behind a region at a low address expect it there."""
    found = []
    for region in shape.regions:
        if region.enabled and region.path != target and is_movable(region, names) and (where := region.fixed):
            reach = span(LOW) if where.end <= LOW.end else (0, TOP)
            piece = Piece(region.path, where.size, alignment(region, shape), (reach,), where.base, where.base)
            found.append(_as_carveout(piece) if region.kind is not RegionKind.CMA else piece)
    return tuple(found)


def _as_carveout(piece: Piece) -> Piece:
    return Piece(piece.name, piece.size, piece.alignment, piece.windows, piece.near, piece.base, carveout=True)


def dynamic(shape: MemoryMap) -> tuple[Piece, ...]:
    """Pieces that the kernel places, in its order; the default area, of `cma=` or built in, comes last."""
    found = [
        Piece(region.path, region.size, dynamic_alignment(region, shape), windows(region))
        for region in shape.regions
        if region.enabled and region.dynamic and region.size
    ]
    return (*found, *_argument(shape))


def dynamic_alignment(region: Region, shape: MemoryMap) -> int:
    """As __reserved_mem_alloc_size has it: the page block at least for CMA, else what the node says, a page at least."""
    least = block(shape) if region.kind is RegionKind.CMA else 4096
    return max(least, region.alignment or 1)


def _argument(shape: MemoryMap) -> tuple[Piece, ...]:
    if shape.cma is None:
        return tuple(
            Piece("cma=", rounded(one.size, block(shape)), block(shape), (span(LOW),))
            for one in shape.regions
            if not one.path and one.size
        )
    if not shape.cma.size or (shape.cma.base is not None and shape.cma.end is None):
        return ()
    reach = (shape.cma.base or 0, shape.cma.end or LOW.end)
    return (Piece("cma=", rounded(shape.cma.size, block(shape)), block(shape), (reach,)),)


def fixed(shape: MemoryMap, names: Sequence[str], target: str, avoid: Sequence[Range] = ()) -> list[Span]:
    """What holds memory and stays: carve-outs, the header's reservations, `cma=` at an address, and `avoid` (kernel, initrd)."""
    stays = [
        span(where)
        for region in shape.regions
        if region.enabled and region.path != target and not is_movable(region, names)
        if (where := region.fixed)
    ]
    if shape.cma is not None and shape.cma.base is not None and shape.cma.end is None:
        stays.append((shape.cma.base, shape.cma.base + rounded(shape.cma.size, block(shape))))
    return [*stays, *(span(one) for one in shape.memreserve), *(span(one) for one in avoid)]


def in_use(tree: DeviceTree, iomem: Sequence[IoEntry] = ()) -> tuple[Range, ...]:
    """Memory that the bootloader filled before the kernel reads the map: its image, where the running one tells, and the initrd."""
    kernel = [entry.range for entry in iomem if entry.name.startswith("Kernel ")]
    values = tree.chosen.properties if tree.chosen else {}
    start, end = (int.from_bytes(values.get(f"linux,initrd-{word}", b""), "big") for word in ("start", "end"))
    return (*kernel, *([Range(start, end - start)] if end > start else []))


def free(ram: Sequence[Range], stays: Sequence[Span]) -> tuple[Span, ...]:
    """RAM that nothing holds that stays; RAM banks that touch are one."""
    banks: list[Span] = []
    for one in sorted(ram):
        if banks and one.base <= banks[-1][1]:
            banks[-1] = (banks[-1][0], max(banks[-1][1], one.end))
        else:
            banks.append(span(one))
    return subtract(banks, stays)
