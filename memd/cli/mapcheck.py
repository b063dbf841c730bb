"""memctl map check: the rules of the memory map, asked of a tree or of the running machine; without memd."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from memd.cli import common, exits, mapsource
from memd.cli.render import Look, safe, wrap
from memd.errors import Failed

if TYPE_CHECKING:
    from collections.abc import Collection

    from memd.cli.render import Colour
    from memd.model_map import MapFinding, MemoryMap

COLOURS: dict[str, Colour] = {"error": "red", "warning": "yellow", "note": ""}
INDENT = 9


def add(actions: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        actions,
        everywhere,
        run,
        "check",
        help="look for mistakes in a memory map: overlaps, bounds, sizes, what firmware guards",
        example="memctl map check board.dts --base shipped.dtb --ram 4G@0x80000000",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .dtb or .dts; without it, the running machine")
    parser.add_argument(
        "--base", metavar="OLD", help="the shipped tree: what changed is held to strict rules, carve-outs must stay"
    )
    parser.add_argument(
        "--moved", metavar="NODE", action="append", default=[], help="a carve-out that may move; may be repeated"
    )
    parser.add_argument("--plan", metavar="PLAN", help="what this plan of memctl map plan moves, may move")
    parser.add_argument("--sarif", metavar="FILE", help="write the findings as SARIF 2.1.0 too; - is standard output")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors for the exit status")
    parser.add_argument("--rules", action="store_true", help="list the rules, and check nothing")
    mapsource.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from memd.policy import maprules, mapwords

    if arguments.rules:
        return _rules(arguments)
    new = mapsource.read(arguments, arguments.file)
    findings = maprules.check(new, _base(arguments), _accepted(arguments))
    if arguments.sarif:
        _write(arguments.sarif, common.to_json(_sarif(arguments.file, findings)) + "\n")
    if arguments.json:
        common.print_json(mapwords.whole(new, findings))
    elif arguments.sarif != "-":
        print(text(new, findings, common.look()), end="")
    return _status(findings, strict=arguments.strict)


def _base(arguments: argparse.Namespace) -> MemoryMap | None:
    if not arguments.base:
        return None
    return mapsource.of_file(arguments.base, argparse.Namespace(include=arguments.include, overlay=[], log=None))


def _accepted(arguments: argparse.Namespace) -> Collection[str]:
    if not arguments.plan:
        return tuple(arguments.moved)
    from memd.cli import mapplan
    from memd.policy import mapfile

    plan = mapfile.decode(mapplan.load(arguments.plan), arguments.plan)
    return {**dict.fromkeys(arguments.moved, ""), **plan.accepted}


def _sarif(file: str | None, findings: list[MapFinding]) -> dict[str, object]:
    from memd.cli import mapsarif

    return mapsarif.report(file, findings)


def _status(findings: list[MapFinding], *, strict: bool) -> int:
    bad = {"error", "warning"} if strict else {"error"}
    return exits.BAD_NEWS if any(one.severity.value in bad for one in findings) else exits.FINE


def _write(file: str, words: str) -> None:
    if file == "-":
        sys.stdout.write(words)
        return
    try:
        with open(file, "w", encoding="utf-8") as out:
            out.write(words)
    except OSError as error:
        raise Failed(str(error)) from None


def _rules(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from memd.policy.maptable import RULES

    if arguments.json:
        common.print_json(
            [asdict(rule) | {"severity": rule.severity.value, "shipped": rule.shipped.value} for rule in RULES]
        )
        return exits.FINE
    look = common.look()
    for rule in RULES:
        graded = (
            rule.severity.value
            if rule.severity is rule.shipped
            else f"{rule.severity.value}, {rule.shipped.value} as shipped"
        )
        print(look.paint(rule.name, "bold") + f" ({graded})")
        for sentence in (rule.what, rule.why, rule.remedy):
            print("".join(f"    {line}\n" for line in wrap(sentence, (look.width or 100) - 4)), end="")
    return exits.FINE


def text(new: MemoryMap, findings: list[MapFinding], look: Look) -> str:
    """A title, each finding in three parts, and a count."""
    from memd.policy import mapwords

    live = sum(one.enabled for one in new.regions)
    board = safe(mapwords.board(new) or "an unnamed board")
    lines = [look.paint(f"{safe(new.source)}: {board}, {common.plural(live, 'region')}", "bold")]
    for one in findings:
        lines += _finding(one, look)
    lines += [f"not read: {safe(trouble)}" for trouble in new.unreadable]
    told = [common.plural(count, name.removesuffix("s")) for name, count in mapwords.counts(findings).items() if count]
    lines.append(", ".join(told) if told else "nothing to complain about")
    return "".join(f"{line}\n" for line in lines)


def _finding(one: MapFinding, look: Look) -> list[str]:
    severity = one.severity.value
    width = max((look.width or 100) - INDENT, 30)
    head, *rest = wrap(f"{safe(one.place)}: {safe(one.what)} [{one.rule}]", width)
    lines = [look.paint(f"{severity:{INDENT}}", COLOURS[severity]) + head, *(" " * INDENT + line for line in rest)]
    arrow = "→" if look.unicode else "->"
    for sentence in (one.why, f"{arrow} {safe(one.remedy)}"):
        lines += [" " * INDENT + line for line in wrap(sentence, width)]
    return lines
