"""Whether regions fit into the gaps between others, exactly: the packing under the planner.

Every arrangement can be pushed down until each region lies at the lowest place behind its neighbour that alignment and windows allow.
So it is enough to try, gap by gap, which region comes next; what is not found so is not there. Addresses are in bytes, ends exclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Span = tuple[int, int]
ANYWHERE: tuple[Span, ...] = ((0, 1 << 64),)


@dataclass(frozen=True, slots=True)
class Piece:
    """What needs room. `windows`: where it may lie; `near`: the address it should be near to (its old one); `base`: where it lies now,
    None if it is new or the kernel places it; `carveout`: counts as one where moves are counted."""

    name: str
    size: int
    alignment: int = 1
    windows: tuple[Span, ...] = ANYWHERE
    near: int = 0
    base: int | None = None
    carveout: bool = False


class Undecided(Exception):
    """The search was given up: too many arrangements. Neither a plan nor a proof."""


@dataclass(slots=True)
class Budget:
    """Bounds a search in steps, not in seconds: the same question has the same answer everywhere."""

    steps: int = 60_000
    spent: int = field(default=0)

    def spend(self) -> None:
        self.spent += 1
        if self.spent > self.steps:
            raise Undecided


def subtract(spans: Sequence[Span], taken: Sequence[Span]) -> tuple[Span, ...]:
    """`spans` without what is `taken`, sorted."""
    left = []
    for start, end in sorted(spans):
        cursor = start
        for low, high in sorted(taken):
            if high > cursor and low < end:
                if low > cursor:
                    left.append((cursor, low))
                cursor = max(cursor, high)
        if cursor < end:
            left.append((cursor, end))
    return tuple(left)


def lowest(piece: Piece, start: int, end: int) -> int | None:
    """The lowest base in start..end that alignment and windows allow."""
    bases = []
    for low, high in piece.windows:
        base = -(-max(start, low) // piece.alignment) * piece.alignment
        if base + piece.size <= min(end, high):
            bases.append(base)
    return min(bases, default=None)


def highest(piece: Piece, start: int, end: int) -> int | None:
    """The highest base in start..end that alignment and windows allow."""
    bases = []
    for low, high in piece.windows:
        base = (min(end, high) - piece.size) // piece.alignment * piece.alignment
        if base >= max(start, low):
            bases.append(base)
    return max(bases, default=None)


def pack(pieces: Sequence[Piece], gaps: Sequence[Span], budget: Budget) -> dict[str, int] | None:
    """A base for each piece, none overlapping; None is a proof that there is none. Undecided if the budget is spent."""
    if sum(piece.size for piece in pieces) > sum(end - start for start, end in gaps):
        return None
    if any(all(lowest(piece, *gap) is None for gap in gaps) for piece in pieces):
        return None
    return _first_fit(pieces, gaps) or _Packing(gaps, budget).fill(0, gaps[0][0] if gaps else 0, tuple(pieces))


def _first_fit(pieces: Sequence[Piece], gaps: Sequence[Span]) -> dict[str, int] | None:
    """The usual case: the largest first, each into the first gap that holds it."""
    bases: dict[str, int] = {}
    for piece in sorted(pieces, key=lambda piece: -piece.size):
        base = next((base for gap in gaps if (base := lowest(piece, *gap)) is not None), None)
        if base is None:
            return None
        bases[piece.name] = base
        gaps = subtract(gaps, [(base, base + piece.size)])
    return bases


class _Packing:
    """One exact search. What failed once is not tried again."""

    def __init__(self, gaps: Sequence[Span], budget: Budget) -> None:
        self.gaps, self.budget = gaps, budget
        self.failed: set[tuple[int, int, tuple[Piece, ...]]] = set()

    def fill(self, at: int, cursor: int, pieces: tuple[Piece, ...]) -> dict[str, int] | None:
        """Bases for `pieces` from `cursor` in gap `at` upwards."""
        if not pieces:
            return {}
        if at == len(self.gaps) or (at, cursor, pieces) in self.failed:
            return None
        self.budget.spend()
        for piece, base in _next(pieces, cursor, self.gaps[at][1]):
            rest = tuple(other for other in pieces if other is not piece)
            if (bases := self.fill(at, base + piece.size, rest)) is not None:
                return bases | {piece.name: base}
        following = self.gaps[at + 1][0] if at + 1 < len(self.gaps) else 0
        bases = self.fill(at + 1, following, pieces)
        if bases is None:
            self.failed.add((at, cursor, pieces))
        return bases


def _next(pieces: Sequence[Piece], cursor: int, end: int) -> Iterator[tuple[Piece, int]]:
    for piece in pieces:
        if (base := lowest(piece, cursor, end)) is not None:
            yield piece, base


def nearest(piece: Piece, others: Sequence[Piece], gaps: Sequence[Span], budget: Budget) -> list[int]:
    """Bases for `piece`, the nearest to `piece.near` first, of which one is the nearest that leaves room for `others`.

    Where a piece can't lie at its old place, what pushes it away is an end of the gap and a chain of others between: so these are all
    the places to try.
    """
    bases: set[int] = set()
    for start, end in gaps:
        for cursor in _chains_up(start, end, tuple(others), budget):
            bases.add(-1 if (base := lowest(piece, max(cursor, piece.near), end)) is None else base)
        for cursor in _chains_down(start, end, tuple(others), budget):
            bases.add(-1 if (base := highest(piece, start, min(cursor, piece.near + piece.size))) is None else base)
    return sorted(bases - {-1}, key=lambda base: (abs(base - piece.near), base))


def _chains_up(start: int, end: int, others: tuple[Piece, ...], budget: Budget) -> set[int]:
    """Where chains of others end that stand on the gap's lower end."""
    seen: set[tuple[int, tuple[Piece, ...]]] = set()
    waiting = [(start, others)]
    while waiting:
        budget.spend()
        cursor, left = state = waiting.pop()
        if state not in seen:
            seen.add(state)
            steps = _next(left, cursor, end)
            waiting += [(base + p.size, tuple(other for other in left if other is not p)) for p, base in steps]
    return {cursor for cursor, _ in seen}


def _chains_down(start: int, end: int, others: tuple[Piece, ...], budget: Budget) -> set[int]:
    """Where chains of others begin that hang on the gap's upper end."""
    seen: set[tuple[int, tuple[Piece, ...]]] = set()
    waiting = [(end, others)]
    while waiting:
        budget.spend()
        cursor, left = state = waiting.pop()
        if state not in seen:
            seen.add(state)
            bases = [(p, base) for p in left if (base := highest(p, start, cursor)) is not None]
            waiting += [(base, tuple(other for other in left if other is not p)) for p, base in bases]
    return {cursor for cursor, _ in seen}
