"""memctl map: the memory map of a board or of the running machine. Its actions are files of their own; none needs memd."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from memd.cli import common, exits, mapcheck, mapdraw, mapplan, mapsource, mapverify
from memd.cli.render import Look, safe

if TYPE_CHECKING:
    from memd.model_map import MapFinding, MemoryMap

ACTIONS = (mapcheck, mapplan, mapverify)


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "map",
        help="show, check and plan the reserved-memory map",
        example="memctl map\n         memctl map --tree board.dtb --html map.html\n         memctl map check board.dtb\n"
        "         memctl map plan --heap my_cma --size 20M -o plan",
    )
    parser.add_argument("--tree", metavar="FILE", help="a .dtb or .dts; without it, the running machine")
    mapdraw.add_options(parser)
    mapsource.add_options(parser)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", parser_class=type(parser))
    for module in ACTIONS:
        module.add(actions, everywhere)


def run(arguments: argparse.Namespace) -> int:
    from memd.policy import maprules, mapwords

    found = mapsource.read(arguments, arguments.tree)
    findings = maprules.check(found)
    mapdraw.write_map(arguments, found, findings)
    if arguments.json:
        common.print_json(mapwords.whole(found, findings))
    else:
        print(text(found, findings, common.look()), end="")
    return exits.FINE


def text(found: MemoryMap, findings: list[MapFinding], look: Look) -> str:
    from memd.policy import mapwords

    title = f"{safe(found.source)}: {safe(mapwords.board(found) or 'an unnamed board')}"
    return look.paint(title, "bold") + "\n\n" + mapdraw.picture(found, look, findings)
