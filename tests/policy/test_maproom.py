"""The planner's search, held against trying every address there is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.policy.mapfit import Budget, Piece, Span, Undecided, highest, lowest, pack, subtract
from memd.policy.maproom import Room, Wanted, find, kernel_places

SPACE = 12  # addresses of the small world in which everything can be tried

small = st.integers(1, 4)
alignments = st.sampled_from([1, 1, 2, 4])


@st.composite
def windows(draw: st.DrawFn) -> tuple[Span, ...]:
    start = draw(st.integers(0, SPACE - 1))
    return draw(
        st.sampled_from([((0, SPACE),), ((0, SPACE),), ((start, min(start + 6, SPACE)),), ((0, 5), (9, SPACE))])
    )


@st.composite
def worlds(draw: st.DrawFn) -> Wanted:
    """A few regions in a small memory with holes; the movable ones lie somewhere without overlap."""
    free = subtract([(0, SPACE)], draw(st.lists(st.tuples(st.integers(0, SPACE), small).map(_span), max_size=2)))
    movable: list[Piece] = []
    taken: list[Span] = []
    for number in range(draw(st.integers(0, 3))):
        size, alignment = draw(small), draw(alignments)
        places = [
            base
            for base in range(0, SPACE, alignment)
            if any(low <= base and base + size <= high for low, high in subtract(free, taken))
        ]
        if places:
            base = draw(st.sampled_from(places))
            taken.append((base, base + size))
            movable.append(Piece(f"m{number}", size, alignment, draw(windows()), base, base, draw(st.booleans())))
    near = draw(st.integers(0, SPACE))
    fixed = [Piece("wanted", draw(small), draw(alignments), draw(windows()), near)] if draw(st.booleans()) else []
    count = draw(st.integers(0 if fixed else 1, 2))
    dynamic = [Piece(f"d{number}", draw(small), draw(alignments), draw(windows())) for number in range(count)]
    return Wanted(tuple(fixed), tuple(movable), tuple(dynamic), free)


def _span(pair: tuple[int, int]) -> Span:
    return (pair[0], pair[0] + pair[1])


def every_place(piece: Piece, free: tuple[Span, ...]) -> Iterator[tuple[int, tuple[Span, ...]]]:
    for base in range(0, SPACE, piece.alignment):
        span = (base, base + piece.size)
        inside = any(low <= span[0] and span[1] <= high for low, high in piece.windows)
        if inside and any(low <= span[0] and span[1] <= high for low, high in free):
            yield base, subtract(free, [span])


def arrangements(pieces: tuple[Piece, ...], free: tuple[Span, ...]) -> Iterator[dict[str, int]]:
    """Every arrangement there is."""
    if not pieces:
        yield {}
        return
    for base, left in every_place(pieces[0], free):
        for rest in arrangements(pieces[1:], left):
            yield {pieces[0].name: base, **rest}


def measure(world: Wanted, moved: tuple[Piece, ...], bases: dict[str, int]) -> tuple[object, ...]:
    """The stated measure, in numbers that compare."""
    order = (*world.fixed, *sorted(moved, key=lambda piece: piece.base or 0))
    far = [(abs(bases[piece.name] - piece.near), bases[piece.name]) for piece in order]
    return (sum(p.carveout for p in moved), len(moved), sum(p.size for p in moved), far)


def least_by_trying(world: Wanted) -> list[tuple[object, ...]]:
    """The measures of the best arrangement for each choice of what moves."""
    found = []
    for count in range(len(world.movable) + 1):
        for moved in itertools.combinations(world.movable, count):
            stay = [(p.base or 0, (p.base or 0) + p.size) for p in world.movable if p not in moved]
            pieces = (*world.fixed, *moved)
            options = [
                measure(world, moved, bases)
                for bases in arrangements(pieces, subtract(world.free, stay))
                if fits(world.dynamic, subtract(subtract(world.free, stay), spans(pieces, bases)))
            ]
            found += [min(options)] if options else []
    return found


def fits(dynamic: tuple[Piece, ...], free: tuple[Span, ...]) -> bool:
    return next(arrangements(dynamic, free), None) is not None


def spans(pieces: tuple[Piece, ...], bases: dict[str, int]) -> list[Span]:
    return [(bases[piece.name], bases[piece.name] + piece.size) for piece in pieces]


@settings(max_examples=120, deadline=None)
@given(worlds())
def test_the_least_change_by_the_measure_or_a_proof_that_there_is_no_room(world: Wanted) -> None:
    room = find(world)
    least = least_by_trying(world)

    if room is None:
        assert least == []
    else:
        moved = tuple(piece for piece in world.movable if piece.name in room.bases)
        assert measure(world, moved, room.bases) == min(least)


@settings(max_examples=120, deadline=None)
@given(worlds())
def test_never_an_overlap_and_never_outside(world: Wanted) -> None:
    room = find(world)
    if room is None:
        return
    pieces = {piece.name: piece for piece in (*world.fixed, *world.movable, *world.dynamic)}
    bases = {p.name: p.base or 0 for p in world.movable} | room.bases | room.dynamic
    free = world.free

    assert bases.keys() == pieces.keys()
    for name, base in bases.items():
        span = (base, base + pieces[name].size)
        assert any(low <= span[0] and span[1] <= high for low, high in free), f"{name} overlaps or lies outside"
        free = subtract(free, [span])
    for name in (*room.bases, *room.dynamic):
        piece = pieces[name]
        assert bases[name] % piece.alignment == 0
        assert any(low <= bases[name] and bases[name] + piece.size <= high for low, high in piece.windows)


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_the_kernels_own_order_is_foretold_wherever_it_works(world: Wanted) -> None:
    room = find(world)
    if room is None:
        return
    stay = [p for p in world.movable if p.name not in room.bases]
    bases = {p.name: p.base or 0 for p in stay} | room.bases
    free = subtract(world.free, spans((*world.fixed, *world.movable), bases))

    landing = kernel_places(world.dynamic, free)

    assert room.pinned == (len(landing) < len(world.dynamic))
    assert room.pinned or room.dynamic == landing


@settings(max_examples=120, deadline=None)
@given(st.lists(st.builds(Piece, st.uuids().map(str), small, alignments, windows()), max_size=4), worlds())
def test_packing_is_exact(pieces: list[Piece], world: Wanted) -> None:
    there_is_one = next(arrangements(tuple(pieces), world.free), None) is not None

    assert (pack(pieces, world.free, Budget()) is not None) == there_is_one


@given(st.builds(Piece, st.just("a"), small, alignments, windows()), st.integers(0, SPACE), st.integers(0, SPACE))
def test_lowest_and_highest_are_the_ends_of_what_is_possible(piece: Piece, start: int, end: int) -> None:
    bases = [base for base, _ in every_place(piece, ((start, end),))]

    assert lowest(piece, start, end) == min(bases, default=None)
    assert highest(piece, start, end) == max(bases, default=None)


def test_one_region_moves_rather_than_two() -> None:
    """The page says to move all that follow; where there is room behind them, moving one is enough."""
    wpss, adsp = Piece("wpss", 25, near=5, base=5), Piece("adsp", 40, near=30, base=30)
    camera = Piece("camera", 6, windows=((0, 6),))

    assert find(Wanted((camera,), (wpss, adsp), (), ((0, 200),))) == Room({"camera": 0, "wpss": 70})


def test_all_that_follow_move_where_nothing_else_is_free() -> None:
    wpss, adsp = Piece("wpss", 25, near=5, base=5), Piece("adsp", 40, near=30, base=30)
    camera = Piece("camera", 6, windows=((0, 6),))

    assert find(Wanted((camera,), (wpss, adsp), (), ((0, 72),))) == Room({"camera": 0, "wpss": 6, "adsp": 31})


def test_others_push_the_wanted_one_away_from_where_it_should_be() -> None:
    low, high = Piece("low", 3, windows=((0, 3),)), Piece("high", 3, windows=((17, 20),))

    assert find(Wanted((Piece("wanted", 2, near=0),), (), (low, high), ((0, 20),))) == Room(
        {"wanted": 3}, {"low": 0, "high": 17}
    )
    assert find(Wanted((Piece("wanted", 2, near=19),), (), (low, high), ((0, 20),))) == Room(
        {"wanted": 15}, {"low": 0, "high": 17}
    )


def test_a_region_without_room_in_the_kernels_order_is_pinned() -> None:
    """Top down, the first takes the only place of the second."""
    first, second = Piece("first", 4), Piece("second", 4, windows=((6, 10),))

    room = find(Wanted((), (), (first, second), ((0, 10),)))

    assert room == Room({}, {"first": 0, "second": 6}, pinned=True)


def test_too_many_arrangements_are_no_proof() -> None:
    pieces = tuple(Piece(f"p{n}", 7 + n, 1 + n % 3) for n in range(12))

    with pytest.raises(Undecided):
        find(Wanted((), (), pieces, ((0, 75), (80, 155))), Budget(50))


def test_too_many_choices_are_no_proof() -> None:
    movable = tuple(Piece(f"p{n}", 1, near=2 * n, base=2 * n) for n in range(60))

    with pytest.raises(Undecided):
        find(Wanted((Piece("wanted", 200),), movable, (), ((0, 120),)), Budget(5_000))
