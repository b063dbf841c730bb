"""memctl map plan: a region added, grown or moved, a heap made, or another cma=, with everything that it takes; without memd."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from memd.cli import common, exits, mapdraw, mapsource
from memd.cli.render import Look, safe, wrap
from memd.errors import Failed, InvalidArgs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memd.model_map import Range
    from memd.policy.mapask import Ask, Drawn
    from memd.policy.mapplan import Board

KINDS = ("carve-out", "cma")
LATEST = 7  # kernels from here on make the heap of a region themselves
EXAMPLES = """\
memctl map plan board.dts --grow camera --size 6M --may-move wpss --ram 2G@0x80000000
         memctl map plan board.dtb --heap my_cma --size 20M -o plan
         memctl map plan --set-cma 64M@0-4G

What moves by itself is only what Linux alone uses: reusable regions, and those that the kernel places. A carve-out moves if --may-move
names it. Of all ways, the one is taken that moves the fewest carve-outs, then the fewest regions, then the fewest bytes, the least far."""


def add(actions: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        actions, everywhere, run, "plan", help="find room for a region, and write what makes it so", example=EXAMPLES
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .dtb or .dts; without it, the running machine")
    _wishes(parser)
    parser.add_argument("--size", metavar="SIZE", type=common.size, help="of the region, after the change")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="of what --add makes (%(default)s)")
    parser.add_argument("--at", metavar="ADDRESS", type=_address, help="where it has to begin")
    parser.add_argument("--within", metavar="START-END", type=_within, help="where it may lie; below 4G if not said")
    parser.add_argument("--alignment", metavar="SIZE", type=common.size, help="more than the kind needs")
    parser.add_argument("--label", metavar="LABEL", help="of a new node; NAME_mem if not said")
    parser.add_argument(
        "--may-move", metavar="NAME", action="append", default=[], help="a region that may move; may be repeated"
    )
    parser.add_argument("-o", "--output", metavar="DIRECTORY", help="write the plan and its files there")
    mapdraw.add_options(parser)
    mapsource.add_options(parser)


def _wishes(parser: argparse.ArgumentParser) -> None:
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument("--add", metavar="NAME", help="a new region")
    wish.add_argument("--grow", metavar="NAME", help="a larger region")
    wish.add_argument("--move", metavar="NAME", help="a region at another place")
    wish.add_argument("--heap", metavar="NAME", help="a new CMA region with its own DMA-BUF heap")
    wish.add_argument("--set-cma", metavar="SIZE[@START[-END]]", help="another cma= on the command line")


def run(arguments: argparse.Namespace) -> int:
    from memd.policy import mapfile, mapwrite

    drawn = plan(_board(arguments), _ask(arguments))
    kernel = mapwrite.MAINLINE if _is_latest(arguments, drawn) else mapwrite.QCOM
    stem = "plan"
    files = mapwrite.files(drawn, stem, kernel, _source(arguments.file))
    where = os.path.join(arguments.output or "", f"{stem}.json")
    steps = mapwrite.steps(drawn, files, where)
    encoded = mapfile.encode(drawn, files, steps)
    if arguments.output:
        _write(arguments.output, {**files, f"{stem}.json": common.to_json(encoded) + "\n"})
    mapdraw.write_change(arguments, drawn)
    if arguments.json:
        common.print_json(encoded)
    else:
        print(text(drawn, files, steps, common.look(), written=arguments.output), end="")
    return exits.FINE


def plan(board: Board, ask: Ask) -> Drawn:
    from memd.policy import mapargument, mapplan
    from memd.policy.mapask import Action

    return mapargument.plan(board, ask) if ask.action is Action.CMA else mapplan.plan(board, ask)


def _ask(arguments: argparse.Namespace) -> Ask:
    from memd.model_map import RegionKind
    from memd.policy.mapask import LOW, Action, Ask

    name = arguments.add or arguments.grow or arguments.move or arguments.heap or ""
    action = Action.GROW if arguments.grow else Action.MOVE if arguments.move else Action.ADD
    action = Action.CMA if arguments.set_cma else action
    cma = arguments.heap or (arguments.add and arguments.kind == "cma")
    return Ask(
        action,
        name,
        arguments.size,
        RegionKind.CMA if cma else RegionKind.CARVE_OUT,
        arguments.at,
        arguments.within or LOW,
        arguments.alignment,
        arguments.label,
        tuple(arguments.may_move),
        heap=bool(arguments.heap),
        argument=arguments.set_cma,
    )


def _board(arguments: argparse.Namespace) -> Board:
    """The tree and its map; of the running machine also where the kernel and the initrd are."""
    from memd.policy.mapplan import Board

    tree, shape, avoid = mapsource.board(arguments, arguments.file)
    return Board(tree, shape, avoid)


def _is_latest(arguments: argparse.Namespace, drawn: Drawn) -> bool:
    major = (arguments.kernel or drawn.before.kernel or "").partition(".")[0]
    return major.isascii() and major.isdigit() and int(major) >= LATEST


def _source(file: str | None) -> tuple[str, str] | None:
    """The board's own source, which moves are a patch to."""
    if not file or not file.endswith(mapsource.SOURCE):
        return None
    from pathlib import Path

    try:
        return os.path.basename(file), Path(file).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise Failed(str(error)) from None


def _write(directory: str, files: Mapping[str, str]) -> None:
    from pathlib import Path

    try:
        for name, words in files.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(words, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise Failed(str(error)) from None


def text(
    drawn: Drawn, files: Mapping[str, str], steps: tuple[str, ...], look: Look, *, written: str | None = None
) -> str:
    """What changes, the map after it, the files, and what to do with them."""
    from memd.policy import mapexpect, mapwrite

    lines = [look.paint(line, "green") for line in mapwrite.summary(drawn)]
    lines += [mapdraw.picture(drawn.after, look).rstrip("\n")]
    for note in drawn.notes:
        lines += _wrapped("note: ", note, look)
    if not written:
        for name, words in files.items():
            lines += ["", look.paint(name, "bold"), words.rstrip("\n")]
    lines += ["", look.paint("What to do" + (f", with the files in {safe(written)}" if written else ""), "bold")]
    for number, step in enumerate(steps, 1):
        lines += _wrapped(f"{number}. ", step, look)
    lines += ["", look.paint("What the kernel says then", "bold")]
    wanted = mapexpect.foretell(drawn)
    lines += [safe(line) for one in wanted.regions if one.changed for line in one.log] + list(wanted.log)
    return "".join(f"{line}\n" for line in lines)


def _wrapped(head: str, words: str, look: Look) -> list[str]:
    rows = wrap(safe(words), max((look.width or 100) - len(head), 30))
    return [(head if not number else " " * len(head)) + row for number, row in enumerate(rows)]


def _address(word: str) -> int:
    try:
        value = int(word, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{word!r} is no address; write it like 0xd0800000")
    return value


def _within(word: str) -> Range:
    """`0x80000000-0xbfffffff`: both addresses included; or `2G-4G`, the second not included."""
    from memd.model_map import Range

    first, dash, last = word.partition("-")
    try:
        start = _bound(first)
        end = _bound(last) + (1 if last.lower().startswith("0x") and int(last, 0) & 0xFFF == 0xFFF else 0)
    except (ValueError, InvalidArgs):
        start, end = 0, 0
    if not dash or start >= end or end > 1 << 64:
        raise argparse.ArgumentTypeError(f"{word!r} is no range; write it like 0x80000000-0xbfffffff or 2G-4G")
    return Range(start, end - start)


def _bound(word: str) -> int:
    from memd import units

    return int(word, 16) if word.lower().startswith("0x") else units.parse_size(word)


def load(file: str) -> str:
    """A plan's text; - is standard input."""
    from pathlib import Path

    try:
        if file == "-":
            return sys.stdin.read()
        if os.path.isdir(file):
            file = os.path.join(file, "plan.json")
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{file}: {error}") from None
