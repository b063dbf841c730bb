"""memctl map: the memory map of a board or of the running machine. Its actions are files of their own; none needs memd."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from memd.cli import common, exits, mapcheck, mapsource
from memd.cli.render import Look, safe, table

if TYPE_CHECKING:
    from memd.model_map import MapFinding, MemoryMap, Region

ACTIONS = (mapcheck,)
HEADS = ("FROM", "TO", "SIZE", "KIND", "NAME", "FINDINGS")


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "map",
        help="show, check and plan the reserved-memory map",
        example="memctl map\n         memctl map check board.dtb",
    )
    parser.add_argument("--tree", metavar="FILE", help="a .dtb or .dts; without it, the running machine")
    mapsource.add_options(parser)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", parser_class=type(parser))
    for module in ACTIONS:
        module.add(actions, everywhere)


def run(arguments: argparse.Namespace) -> int:
    from memd.policy import maprules, mapwords

    found = mapsource.read(arguments, arguments.tree)
    findings = maprules.check(found)
    if arguments.json:
        common.print_json(mapwords.whole(found, findings))
    else:
        print(text(found, findings, common.look()), end="")
    return exits.FINE


def text(found: MemoryMap, findings: list[MapFinding], look: Look) -> str:
    from memd.policy import mapwords

    title = f"{safe(found.source)}: {safe(mapwords.board(found) or 'an unnamed board')}"
    live = [one for one in found.regions if one.enabled]
    rules = mapwords.by_region(findings)
    rows = [_row(one, rules.get(one.name, set())) for one in sorted(live, key=_base)]
    told = table(look, HEADS, rows, frozenset({"SIZE"})) if rows else "no reserved memory\n"
    return look.paint(title, "bold") + "\n" + told


def _base(one: Region) -> tuple[bool, int]:
    return (one.where is None, one.where.base if one.where else 0)


def _row(one: Region, rules: set[str]) -> tuple[str, ...]:
    place = (f"{one.where.base:#x}", f"{one.where.end - 1:#x}") if one.where else ("dynamic", "")
    size = f"{one.size >> 10}K" if one.size is not None else "-"
    return (*place, size, one.kind.value, safe(one.name), ", ".join(sorted(rules)))
