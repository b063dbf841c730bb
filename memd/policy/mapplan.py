"""The planner: from a wish to a map that has it, with the least change, and with no rule broken that was not broken before.

Regions that Linux alone uses move by themselves: what is reusable, and what the kernel places. Anything else, carve-outs above all, stays
where it is unless it is named: firmware and other processors know its address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from memd.errors import InvalidArgs
from memd.model_map import DeviceTree, MemoryMap, Range, Region, RegionKind, Severity
from memd.policy import mapedit, mapnotes, mappieces, mapread, maproom, maprules
from memd.policy.mapask import Action, Ask, Change, Drawn, NoRoom, Undecidable, What
from memd.policy.mapfit import Piece, Span, Undecided
from memd.policy.maproom import Room, Wanted

NAME = re.compile(r"[A-Za-z0-9,._+-]{1,31}")
WHOLE: Span = (0, mappieces.TOP)


@dataclass(frozen=True, slots=True)
class Board:
    """What a plan starts from. `avoid`: memory that is in use although the tree doesn't say so (the kernel's image, an initrd)."""

    tree: DeviceTree
    shape: MemoryMap
    avoid: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class _Goal:
    """The wish in the search's words: `piece` needs an address, or is None where the kernel places it; then `extra` is one of its."""

    path: str
    size: int
    kind: RegionKind
    piece: Piece | None
    extra: Piece | None = None
    region: Region | None = None


def plan(board: Board, ask: Ask) -> Drawn:
    """The map with the wish fulfilled. NoRoom, Undecidable; InvalidArgs where the wish itself is wrong."""
    for name in ask.may_move:
        mappieces.named(board.shape, name)
    goals = GOALS[ask.action](board, ask)
    try:
        goal, room = _best(board, ask, goals)
    except Undecided:
        raise Undecidable(
            f"there are too many ways to arrange this map to find the best or prove that there is none; "
            f"narrow the question with --at, --within or fewer --may-move (asked: {mapnotes.wish(ask)})"
        ) from None
    return _checked(board, _edited(board, ask, goal, room))


def may_move(shape: MemoryMap, ask: Ask) -> tuple[str, ...]:
    """Node names of the regions that --may-move names."""
    return tuple(mappieces.named(shape, name).name for name in ask.may_move)


# The wish


def _add(board: Board, ask: Ask) -> list[_Goal]:
    if not NAME.fullmatch(ask.name):
        raise InvalidArgs(f"{ask.name!r} is no name for a node: letters, digits and , . _ + -, at most 31 of them")
    if any(ask.name == one.name.partition("@")[0] for one in board.shape.regions):
        raise InvalidArgs(f"{board.shape.source} has a region {ask.name} already; --grow or --move change it")
    size = mappieces.rounded(_size(ask), mappieces.bound(ask.kind, board.shape))
    align = max(mappieces.bound(ask.kind, board.shape), ask.alignment or 1)
    path = f"{mapedit.PARENT}/{ask.name}"
    if ask.kind is RegionKind.CMA and ask.at is None:
        return [_Goal(path, size, ask.kind, None, Piece(path, size, align, (mappieces.span(ask.within),)))]
    near = mapnotes.behind_the_last(board.shape, ask.within) if ask.at is None else ask.at
    return [_Goal(path, size, ask.kind, Piece(path, size, align, _reach(ask, size, align), near))]


def _grow(board: Board, ask: Ask) -> list[_Goal]:
    region = mappieces.named(board.shape, ask.name)
    size = mappieces.rounded(_size(ask), mappieces.bound(region.kind, board.shape))
    if region.size is None or size <= region.size:
        raise InvalidArgs(
            f"{region.name} has {mapnotes.size(region.size)} and is asked to have {mapnotes.size(size)}: it would not grow. "
            "A carve-out that shrinks is guarded by firmware all the same; a smaller CMA region is yours to write"
        )
    if region.dynamic:
        piece = Piece(region.path, size, mappieces.dynamic_alignment(region, board.shape), mappieces.windows(region))
        return [_Goal(region.path, size, region.kind, None, piece, region)]
    where = region.fixed or Range(0, 0)
    stays = Piece(region.path, size, 1, ((where.base, where.base + size),), where.base, where.base)
    goals = [_Goal(region.path, size, region.kind, stays, region=region)]
    if mappieces.is_movable(region, may_move(board.shape, ask)):
        align = max(mappieces.alignment(region, board.shape), ask.alignment or 1)
        moves = Piece(region.path, size, align, _reach(ask, size, align), where.base, where.base)
        goals.append(_Goal(region.path, size, region.kind, moves, region=region))
    return goals


def _move(board: Board, ask: Ask) -> list[_Goal]:
    region = mappieces.named(board.shape, ask.name)
    where = region.fixed
    if where is None:
        raise InvalidArgs(f"{region.name} has no address to move from: the kernel places it inside its alloc-ranges")
    if ask.at is None and ask.within == Ask(Action.MOVE).within:
        raise InvalidArgs(f"say where {region.name} should go: --at ADDRESS or --within START-END")
    align = max(mappieces.alignment(region, board.shape), ask.alignment or 1)
    piece = Piece(region.path, where.size, align, _reach(ask, where.size, align), where.base, where.base)
    return [_Goal(region.path, where.size, region.kind, piece, region=region)]


GOALS: dict[Action, Callable[[Board, Ask], list[_Goal]]] = {Action.ADD: _add, Action.GROW: _grow, Action.MOVE: _move}


def _size(ask: Ask) -> int:
    if not ask.size:
        raise InvalidArgs(f"say how large {ask.name} shall be: --size 64M")
    return ask.size


def _reach(ask: Ask, size: int, align: int) -> tuple[Span, ...]:
    if ask.at is None:
        return (mappieces.span(ask.within),)
    if ask.at % align:
        raise InvalidArgs(
            f"--at {ask.at:#x} is not on a bound of {mapnotes.size(align)}, as this kind of region needs"
        )
    return ((ask.at, ask.at + size),)


# The search


def _best(board: Board, ask: Ask, goals: Sequence[_Goal]) -> tuple[_Goal, Room]:
    found = [(goal, room) for goal in goals if (room := maproom.find(_wanted(board, ask, goal))) is not None]
    if not found:
        raise NoRoom(_why(board, ask, goals[-1]))
    return min(found, key=lambda pair: _change(board, ask, *pair))


def _wanted(board: Board, ask: Ask, goal: _Goal) -> Wanted:
    names = may_move(board.shape, ask)
    stays = mappieces.fixed(board.shape, names, goal.path, board.avoid)
    own = (
        [goal.region.fixed] if goal.region and goal.region.fixed else []
    )  # shipped there, whatever the tree says of RAM
    free = mappieces.free([*_ram(board, ask, goal), *own], stays)
    placed = tuple(piece for piece in mappieces.dynamic(board.shape) if piece.name != goal.path)
    extra = (goal.extra,) if goal.extra else ()
    return Wanted(
        (goal.piece,) if goal.piece else (),
        mappieces.movable(board.shape, names, goal.path),
        (*extra, *placed) if board.shape.ram else (),
        free,
    )


def _ram(board: Board, ask: Ask, goal: _Goal) -> tuple[Range, ...]:
    """Where RAM is not known, a place that somebody names is taken at their word; nothing else is planned."""
    if board.shape.ram:
        return board.shape.ram
    stays_put = goal.piece is not None and goal.piece.windows[0] == (goal.piece.near, goal.piece.near + goal.size)
    if (stays_put or goal.extra) and not ask.may_move:
        return (Range(*WHOLE),)
    raise InvalidArgs(
        f"{board.shape.source} leaves RAM to the bootloader, so nobody knows where there is room: say --ram SIZE@START, "
        "as /proc/iomem of the board shows it, or --at ADDRESS"
    )


def _change(board: Board, ask: Ask, goal: _Goal, room: Room) -> tuple[int, int, int]:
    """The measure's first parts, the wanted region's own move included."""
    wanted = _wanted(board, ask, goal)
    pieces = [piece for piece in wanted.movable if piece.name in room.bases]
    region = goal.region
    if region is not None and region.fixed and room.bases.get(region.path) != region.fixed.base:
        pieces.append(
            replace(goal.piece or wanted.fixed[0], carveout=region.kind is not RegionKind.CMA, size=region.fixed.size)
        )
    return (sum(piece.carveout for piece in pieces), len(pieces), sum(piece.size for piece in pieces))


def _why(board: Board, ask: Ask, goal: _Goal) -> str:
    """The reason in numbers, and what would make room, tried."""
    return mapnotes.no_room(ask, goal.size, _wanted(board, ask, goal), tuple(_would_help(board, ask, goal)))


def _would_help(board: Board, ask: Ask, goal: _Goal) -> Iterator[str]:
    for region in board.shape.regions:
        if region.fixed and region.path != goal.path and not mappieces.is_movable(region, may_move(board.shape, ask)):
            more = replace(ask, may_move=(*ask.may_move, region.name))
            if board.shape.ram and maproom.find(_wanted(board, more, goal)) is not None:
                yield region.name


# The result


def _edited(board: Board, ask: Ask, goal: _Goal, room: Room) -> Drawn:
    from memd.policy.mapresult import Result

    result = Result(board.tree, board.shape)
    result.fulfil(ask, goal.path, goal.size, room.bases.get(goal.path))
    for path, base in sorted(room.bases.items()):
        if path != goal.path:
            result.move(path, base)
    if room.pinned:
        for path, base in room.dynamic.items():
            result.pin(path, base)
    result.finish()
    after = mapread.read(result.tree, page_block=board.shape.page_block, command_line=board.shape.command_line)
    after = replace(
        after,
        ram=board.shape.ram,
        ram_known=board.shape.ram_known,
        kernel=board.shape.kernel,
        source=board.shape.source,
    )
    changes = tuple(result.changes)
    return Drawn(ask, board.tree, result.tree, board.shape, after, changes, mapnotes.notes(board.shape, ask, changes))


def accepted(changes: Sequence[Change]) -> dict[str, str]:
    """What `check` accepts of a plan: its moves, old path -> new path."""
    return {change.old: change.path for change in changes if change.what is What.MOVED and change.old}


def _checked(board: Board, drawn: Drawn) -> Drawn:
    """Held against every rule before anybody sees it. What a board broke as shipped, it may go on breaking."""
    old = {change.name: (change.old or "").rpartition("/")[2] for change in drawn.changes}
    before = {(one.rule, name) for one in maprules.check(board.shape) for name in one.regions or (one.place,)}
    for one in maprules.check(drawn.after, board.shape, accepted(drawn.changes)):
        names = [old.get(name) or name for name in one.regions] or [one.place]
        if one.severity is Severity.ERROR and not all((one.rule, name) in before for name in names):
            raise NoRoom(f"the only place found breaks a rule: {one}")
    return drawn
