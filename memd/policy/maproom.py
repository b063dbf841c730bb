"""Where a region can go with the least change: the planner's search over which others move, and how far.

The measure, first to last: fewer carve-outs that move; fewer regions that move; fewer bytes that move; the wanted region nearer to
where it should be; each moved one, by rising old address, nearer to its old place; of two as near, the lower. Regions that the kernel
places have no address to change: they count only in that they all must find room.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from memd.policy.mapfit import Budget, Piece, Span, Undecided, highest, nearest, pack, subtract

MAX_CHOICES = 20_000  # ways to choose what moves, of one size, that are sorted at once


@dataclass(frozen=True, slots=True)
class Room:
    """A plan in numbers. `bases`: the wanted region and each that moves; `dynamic`: where the kernel's own order puts the others, or
    with `pinned`, where they have to be told to lie, because that order leaves one without room."""

    bases: dict[str, int]
    dynamic: dict[str, int] = field(default_factory=dict)
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question. `fixed`: pieces that need an address (the wanted one; none where the kernel places it); `movable`: pieces that lie
    somewhere and may move; `dynamic`: what the kernel places, in the tree's order; `free`: memory that nothing else holds."""

    fixed: tuple[Piece, ...]
    movable: tuple[Piece, ...]
    dynamic: tuple[Piece, ...]
    free: tuple[Span, ...]


def find(wanted: Wanted, budget: Budget | None = None) -> Room | None:
    """The least change, or None: a proof that there is no room. Undecided if there are too many arrangements to tell."""
    budget = budget or Budget()
    for _, alike in itertools.groupby(_by_change(wanted.movable), key=_change):
        rooms = [room for moved in alike if (room := _with(wanted, moved, budget)) is not None]
        if rooms:
            return min(rooms, key=lambda room: _distances(wanted, room))
    return None


def _with(wanted: Wanted, moved: tuple[Piece, ...], budget: Budget) -> Room | None:
    """The best arrangement where exactly these move."""
    budget.spend()
    gaps = subtract(wanted.free, [_span(piece) for piece in wanted.movable if piece not in moved])
    pieces = (*wanted.fixed, *sorted(moved, key=lambda piece: piece.base or 0))
    if pack((*pieces, *wanted.dynamic), gaps, budget) is None:
        return None
    return _settle(pieces, wanted.dynamic, gaps, budget)


def _change(moved: tuple[Piece, ...]) -> tuple[int, int, int]:
    """The measure's first three parts."""
    return (sum(piece.carveout for piece in moved), len(moved), sum(piece.size for piece in moved))


def _distances(wanted: Wanted, room: Room) -> list[tuple[int, int]]:
    """The rest of the measure."""
    pieces = (*wanted.fixed, *sorted(wanted.movable, key=lambda piece: piece.base or 0))
    return [(abs(room.bases[p.name] - p.near), room.bases[p.name]) for p in pieces if p.name in room.bases]


def _span(piece: Piece) -> Span:
    base = piece.base or 0
    return (base, base + piece.size)


def _by_change(movable: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    """Every choice of what moves, by the measure's first three parts."""
    carveouts = [piece for piece in movable if piece.carveout]
    others = [piece for piece in movable if not piece.carveout]
    for few in range(len(carveouts) + 1):
        for more in range(len(others) + 1):
            if math.comb(len(carveouts), few) * math.comb(len(others), more) > MAX_CHOICES:
                raise Undecided
            pairs = itertools.product(itertools.combinations(carveouts, few), itertools.combinations(others, more))
            yield from sorted((a + b for a, b in pairs), key=_change)


def _settle(fixed: Sequence[Piece], dynamic: Sequence[Piece], gaps: tuple[Span, ...], budget: Budget) -> Room:
    """Each piece in turn as near as the rest allows: `pack` has shown that there is an arrangement."""
    bases: dict[str, int] = {}
    for index, piece in enumerate(fixed):
        bases[piece.name], gaps = _nearest(piece, (*fixed[index + 1 :], *dynamic), gaps, budget)
    landing = kernel_places(dynamic, gaps)
    if len(landing) == len(dynamic):
        return Room(bases, landing)
    return Room(bases, pack(dynamic, gaps, budget) or {}, pinned=True)


def _nearest(
    piece: Piece, rest: Sequence[Piece], gaps: Sequence[Span], budget: Budget
) -> tuple[int, tuple[Span, ...]]:
    for base in nearest(piece, rest, gaps, budget):
        left = subtract(gaps, [(base, base + piece.size)])
        if pack(rest, left, budget) is not None:
            return base, left
    raise AssertionError(f"{piece.name} found room and has none")


def kernel_places(dynamic: Sequence[Piece], gaps: tuple[Span, ...]) -> dict[str, int]:
    """Where the kernel's memblock puts dynamic regions (drivers/of/of_reserved_mem.c): in the tree's order, the first window of
    alloc-ranges that has room, the highest place there. One without room is left out."""
    landing: dict[str, int] = {}
    for piece in dynamic:
        base = next((base for window in piece.windows if (base := _top(piece, window, gaps)) is not None), None)
        if base is not None:
            landing[piece.name] = base
            gaps = subtract(gaps, [(base, base + piece.size)])
    return landing


def _top(piece: Piece, window: Span, gaps: Sequence[Span]) -> int | None:
    bases = [highest(piece, max(gap[0], window[0]), min(gap[1], window[1])) for gap in gaps]
    return max((base for base in bases if base is not None), default=None)
