"""A plan of the `cma=` argument: what it makes, what it overrides, and whether it fits. See kernel/dma/contiguous.c."""

from __future__ import annotations

from dataclasses import replace

from memd.errors import InvalidArgs
from memd.model_map import CmaArgument, MemoryMap
from memd.policy import mapcma, mapnotes, mappieces, maproom
from memd.policy.mapask import Ask, Drawn, NoRoom, Undecidable
from memd.policy.mapfit import Piece, Undecided
from memd.policy.mapplan import Board
from memd.policy.maproom import Wanted

OVERRIDES = (
    "cma= overrides the size that the kernel was built with (CONFIG_CMA_SIZE_MBYTES, _PERCENTAGE); "
    "areas of the device tree that are not linux,cma-default stay"
)


def plan(board: Board, ask: Ask) -> Drawn:
    """The map with another `cma=`. NoRoom where the area can't be made, InvalidArgs where the argument makes no sense."""
    argument = mapcma.parse((ask.argument or "").removeprefix("cma="))
    after = with_argument(board.shape, argument)
    if argument.size and board.shape.ram:
        _held_against(board, ask, after)
    return Drawn(ask, board.tree, board.tree, board.shape, after, (), tuple(_notes(board.shape, argument)))


def with_argument(shape: MemoryMap, argument: CmaArgument) -> MemoryMap:
    """The map under this argument: the kernel then skips a linux,cma-default node altogether."""
    line = " ".join([*_other_words(shape), f"cma={argument.text}"])
    regions = tuple(region for region in shape.regions if not region.cma_default and region.path)
    return replace(shape, cma=argument, command_line=line, regions=regions)


def _other_words(shape: MemoryMap) -> list[str]:
    return [word for word in (shape.command_line or "").split() if not word.startswith("cma=")]


def size(argument: CmaArgument, shape: MemoryMap) -> int:
    """What the kernel takes: rounded up to the page block."""
    return mappieces.rounded(argument.size, mappieces.block(shape))


def _held_against(board: Board, ask: Ask, after: MemoryMap) -> None:
    """Nothing moves for an argument: what may, the device tree's own dynamic regions, the kernel places first."""
    stays = mappieces.fixed(replace(after, cma=None), (), "", board.avoid)
    stays += [mappieces.span(where) for region in after.regions if region.enabled and (where := region.fixed)]
    piece = _piece(after)
    dynamic = tuple(one for one in mappieces.dynamic(after) if one.name != piece.name)
    wanted = Wanted((), (), (*dynamic, piece), mappieces.free(after.ram or (), stays))
    try:
        room = maproom.find(wanted)
    except Undecided:
        raise Undecidable(f"cma={ask.argument}: too many dynamic regions to tell whether all fit") from None
    if room is None or room.pinned:
        named = replace(ask, name=f"cma={ask.argument}")
        raise NoRoom(mapnotes.no_room(named, piece.size, replace(wanted, dynamic=(piece, *dynamic)), ()))


def _piece(after: MemoryMap) -> Piece:
    argument = after.cma
    assert argument is not None
    bytes_, block = size(argument, after), mappieces.block(after)
    if argument.base is None or argument.end is not None:
        return next(one for one in mappieces.dynamic(after) if one.name == "cma=")
    if argument.base % block:
        raise InvalidArgs(
            f"cma={argument.text}: the kernel refuses a base that is not on a page block of {mapnotes.size(block)}"
        )
    return Piece("cma=", bytes_, block, ((argument.base, argument.base + bytes_),))


def _notes(shape: MemoryMap, argument: CmaArgument) -> list[str]:
    found = [OVERRIDES]
    found += [f"it also overrides cma={shape.cma.text}: the last on the command line counts"] if shape.cma else []
    found += [f"the kernel skips the node {name}, which is linux,cma-default" for name in _skipped(shape)]
    taken = size(argument, shape)
    if taken != argument.size:
        words = f"{mapnotes.size(argument.size)} is logged, and {mapnotes.size(taken)} taken, by the page block"
        found.append(f"{words} of {mapnotes.size(mappieces.block(shape))}")
    if argument.size == 0:
        found.append(
            "cma=0: no default area, and so no heap `reserved` or `default_cma_region`; areas of the device tree stay"
        )
    if shape.ram is None:
        found.append("RAM is not known from this tree: whether the area fits is not checked")
    return [note for note in found if note]


def _skipped(shape: MemoryMap) -> list[str]:
    return [region.name for region in shape.regions if region.cma_default]
