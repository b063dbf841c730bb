"""Pictures of a map: a scaled bar in the terminal, --svg and --html files."""

from __future__ import annotations

import argparse
import itertools
from typing import TYPE_CHECKING

from memd.cli.render import Look, safe, table
from memd.errors import Failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memd.cli.render import Colour
    from memd.model_map import MapFinding, MemoryMap
    from memd.policy.mapask import Drawn
    from memd.policy.mapscale import Axis
    from memd.policy.mapscene import Picture, Row

GLYPHS = {
    "carveout": "█#",
    "cma": "▓c",
    "other": "▒o",
    "memreserve": "▒o",
    "free": "░.",
    "between": "░.",
    "hole": "  ",
}
COLOURS: dict[str, Colour] = {"carveout": "bold", "cma": "green", "other": "yellow", "memreserve": "yellow"}
WORDS = (("carveout", "carve-out"), ("cma", "CMA"), ("other", "other"), ("free", "free RAM"), ("hole", "no memory"))
IMPORTANCE = ("hole", "between", "free", "memreserve", "other", "cma", "carveout")
HEADS = ("FROM", "TO", "SIZE", "KIND", "NAME", "FINDINGS")
WIDEST = 120


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--svg", metavar="FILE", help="draw it: one SVG image")
    parser.add_argument("--html", metavar="FILE", help="draw it: one page that needs nothing else")


def write_map(arguments: argparse.Namespace, shape: MemoryMap, findings: Sequence[MapFinding]) -> None:
    """The files that --svg and --html ask for, of one map."""
    if arguments.svg or arguments.html:
        from memd.policy import mapscene

        _write(arguments, mapscene.of_map(shape, findings))


def write_change(arguments: argparse.Namespace, drawn: Drawn) -> None:
    """The same of a plan, before and after."""
    if arguments.svg or arguments.html:
        from memd.policy import mapplan, maprules, mapscene, mapwrite

        findings = maprules.check(drawn.after, drawn.before, mapplan.accepted(drawn.changes))
        words = [*mapwrite.summary(drawn), *drawn.notes]
        _write(arguments, mapscene.of_change(drawn.before, drawn.after, drawn.changes, findings, words))


def _write(arguments: argparse.Namespace, picture: Picture) -> None:
    from pathlib import Path

    from memd.policy import maphtml, mapsvg

    try:
        for file, render in ((arguments.svg, mapsvg.svg), (arguments.html, maphtml.page)):
            if file:
                Path(file).write_text(render(picture), encoding="utf-8")
    except OSError as error:
        raise Failed(str(error)) from None


def picture(shape: MemoryMap, look: Look, findings: Sequence[MapFinding] = ()) -> str:
    """The bar, and a table of regions and gaps below it."""
    from memd.policy import mapscale, mapscene, mapwords

    spots = mapscale.spots(shape)
    line = mapscale.axis([shape], spots)
    scene = mapscene.scene(shape, line, spots, findings)
    rules = mapwords.by_region(findings)
    rows = [_row(row, rules.get(row.name, set()) if row.path else set()) for row in scene.rows]
    told = table(look, HEADS, rows, frozenset({"SIZE"})) if rows else "no reserved memory\n"
    more = f"{scene.left_out} more are not shown\n" if scene.left_out else ""
    return bar(scene.rows, line, look) + told + more


def _row(row: Row, rules: set[str]) -> tuple[str, ...]:
    first, last = str(row.where).split("..") if row.where else ("?", "?")
    about = "about " if row.foretold else ""
    name = safe(row.name) if _kind(row) != row.name else ""
    return (about + first, last, row.size, _kind(row), name, ", ".join(sorted(rules)))


def _kind(row: Row) -> str:
    return dict(WORDS).get(row.kind, row.kind)


def bar(rows: Sequence[Row], line: Axis, look: Look) -> str:
    """The address space to scale in one line; what is too small for a cell has one all the same. Below it, where memory begins and ends."""
    if not line.stretches:
        return ""
    width = min(look.width or 80, WIDEST)
    cells = [" "] * width
    for kind in IMPORTANCE:
        for row in rows:
            if row.kind == kind and row.start is not None and row.stop is not None:
                first = min(int(row.start * width), width - 1)
                for cell in range(first, max(min(round(row.stop * width), width), first + 1)):
                    cells[cell] = kind
    drawn = "".join(_cell(kind, look, len(list(same))) for kind, same in itertools.groupby(cells))
    return f"{drawn}\n{_ticks(line, width)}\n{_legend(set(cells), look)}\n\n"


def _cell(kind: str, look: Look, count: int = 1) -> str:
    glyph = GLYPHS.get(kind, "  ")[0 if look.unicode else 1]
    return look.paint(glyph * count, COLOURS.get(kind, ""))


def _ticks(line: Axis, width: int) -> str:
    """Addresses of memory's bounds, as many as there is room for; the last one ends at the bar's end."""
    last = f"{line.stretches[-1].range.end:#x}"
    text = ""
    for stretch in line.stretches:
        at, word = int(stretch.start * width), f"{stretch.range.base:#x}"
        if at >= len(text) + (1 if text else 0) and at + len(word) + 1 < width - len(last):
            text = text.ljust(at) + word
    return (text.ljust(width - len(last)) + last) if width > len(text) + len(last) else text


def _legend(kinds: set[str], look: Look) -> str:
    return "  ".join(f"{_cell(kind, look)} {word}" for kind, word in WORDS if kind in kinds and kind != "hole")
