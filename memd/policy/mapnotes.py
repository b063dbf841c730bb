"""What a planner says: why there is no room, and what to know of a plan. Sentences with numbers."""

from __future__ import annotations

from collections.abc import Sequence

from memd.model_map import MemoryMap, Range, RegionKind
from memd.policy.mapask import Action, Ask, Change, What
from memd.policy.mapfit import Piece, Span, lowest, subtract
from memd.policy.mappieces import block, named
from memd.policy.maproom import Wanted


def size(count: int | None) -> str:
    """`20M`, exact: what doesn't divide evenly is written in smaller units."""
    if count is None:
        return "an unknown size"
    for shift, suffix in ((30, "G"), (20, "M"), (10, "K")):
        if count and count % (1 << shift) == 0:
            return f"{count >> shift}{suffix}"
    return f"{count}B"


def wish(ask: Ask) -> str:
    """The wish as memctl's own options."""
    if ask.action is Action.CMA:
        return f"--set-cma {ask.argument}"
    words = [f"--{ask.action.value} {ask.name}"]
    words += [f"--size {size(ask.size)}"] if ask.size else []
    words += [f"--at {ask.at:#x}"] if ask.at is not None else []
    return " ".join([*words, *(f"--may-move {name}" for name in ask.may_move)])


def behind_the_last(shape: MemoryMap, within: Range) -> int:
    """Where a new carve-out should be near to: behind the last carve-out inside `within`; without one, the upper end."""
    ends = [
        where.end
        for region in shape.regions
        if region.enabled and region.kind is RegionKind.CARVE_OUT and (where := region.fixed) and within.holds(where)
    ]
    return max(ends, default=within.end)


def no_room(ask: Ask, wanted_size: int, wanted: Wanted, helps: Sequence[str]) -> str:
    """What was needed, what there is, and what would make room."""
    piece = (*wanted.fixed, *wanted.dynamic)[0]
    gaps = subtract(wanted.free, [(one.base or 0, (one.base or 0) + one.size) for one in wanted.movable])
    words = [f"no room for {ask.name}: it needs {size(wanted_size)} {_where(piece)}"]
    words.append(_largest(piece, gaps))
    if wanted.dynamic and any(lowest(piece, *gap) is not None for gap in gaps):
        total = sum(one.size for one in wanted.dynamic)
        words.append(
            f"beside it the kernel must place {size(total)} more inside their alloc-ranges, and all do not fit"
        )
    if wanted.movable:
        words.append(f"{len(wanted.movable)} movable regions elsewhere don't change that")
    hint = f"--may-move {helps[0]} would make room" if helps else "no other place for a single region makes room"
    return "; ".join(words) + f". {hint}" + (f" (so would {', '.join(helps[1:])})" if helps[1:] else "")


def _where(piece: Piece) -> str:
    low, high = piece.windows[0]
    if high - low == piece.size:
        return f"at {low:#x}"
    return f"on a bound of {size(piece.alignment)} inside {Range(low, high - low)}"


def _largest(piece: Piece, gaps: Sequence[Span]) -> str:
    inside = [(max(low, first), min(high, last)) for low, high in piece.windows for first, last in gaps]
    first, last = max(inside, key=lambda gap: gap[1] - gap[0], default=(0, 0))
    if last <= first:
        return "no memory is free there"
    return f"the largest free run there is {size(last - first)} ({Range(first, last - first)})"


def notes(shape: MemoryMap, ask: Ask, changes: Sequence[Change]) -> tuple[str, ...]:
    """What a person should know of a plan before they build it."""
    found = [_rounded(shape, ask, change) for change in changes] + [_moved(shape, change) for change in changes]
    if shape.ram is None:
        found.append(
            "RAM is not known from this tree: whether the place is RAM, and whether dynamic regions fit, is not checked"
        )
    if shape.ram is not None and not shape.ram_known:
        found.append(
            f"RAM is taken from the tree ({', '.join(map(str, shape.ram))}); the bootloader may know better: --ram"
        )
    if shape.cma is None and not any(region.cma_default for region in shape.regions):
        found.append(
            "the kernel's own default CMA area (CONFIG_CMA_SIZE_*) is not in any device tree and not counted here"
        )
    return tuple(dict.fromkeys(note for note in found if note))


def _rounded(shape: MemoryMap, ask: Ask, change: Change) -> str:
    if not ask.size or change.size == ask.size or change.path != _target(shape, ask, change):
        return ""
    bound = f"the page block of {size(block(shape))}" if change.kind is RegionKind.CMA else "1M"
    return f"{change.name}: {size(ask.size)} is rounded up to {size(change.size)}, by {bound}"


def _target(shape: MemoryMap, ask: Ask, change: Change) -> str:
    if ask.action is Action.ADD:
        return change.path if change.what is What.ADDED else ""
    return change.path if named(shape, ask.name).path == change.old else ""


def _moved(shape: MemoryMap, change: Change) -> str:
    if change.what is not What.MOVED or change.old is None:
        return ""
    region = named(shape, change.old)
    if change.kind is RegionKind.CMA:
        return f"{region.name} becomes {change.name}: its CMA area and its heap are called so too"
    return f"{region.name} moves to {change.now}: firmware and other processors that know its old address must be told"
