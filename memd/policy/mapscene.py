"""The rows beside a map's line: every region and every gap in address order, each high enough to be read. Numbers are pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from memd.model_map import MapFinding, MemoryMap, Range, RegionKind, Severity
from memd.policy import mapscale
from memd.policy.mapask import Change, What
from memd.policy.mapnotes import size
from memd.policy.mapscale import Axis, Spot

REGION, LINE, GAP, BETWEEN = 42, 15, 22, 6
MOST_ROWS = 2000  # a page with more is nobody's map
LEAST = 320
MOST_FINDINGS = 3
ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
CLASSES = {RegionKind.CARVE_OUT: "carveout", RegionKind.CMA: "cma", RegionKind.OTHER: "other"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `kind`: a style's name; `top`..`bottom` where it stands; `start`..`stop` where it lies on the line (None: nobody knows).

    `badge`: what a plan does with it. `severity`: of the worst finding, "" without one.
    """

    kind: str
    name: str
    size: str
    words: tuple[str, ...]
    where: Range | None = None
    badge: str = ""
    findings: tuple[str, ...] = ()
    severity: str = ""
    path: str = ""
    foretold: bool = False
    start: float | None = None
    stop: float | None = None
    top: float = 0
    bottom: float = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """One map, laid out. `height`: of rows and line alike. `left_out`: rows that are too many to draw."""

    rows: tuple[Row, ...]
    line: Axis
    height: float
    left_out: int = 0


def scene(
    shape: MemoryMap,
    line: Axis,
    spots: Sequence[Spot],
    findings: Sequence[MapFinding] = (),
    changes: Mapping[str, Change] | None = None,
) -> Scene:
    """`changes`: by path, for badges."""
    by_name: dict[str, list[MapFinding]] = {}
    for one in sorted(findings, key=lambda one: ORDER[one.severity]):
        for name in one.regions:
            by_name.setdefault(name, []).append(one)
    rows = [_region(s, line, by_name.get(s.region.name, []), (changes or {}).get(s.region.path)) for s in spots]
    rows += [_reserved(one, line) for one in shape.memreserve if one.size]
    rows += [_gap(one, line) for one in mapscale.gaps(line, spots, shape.memreserve)]
    rows.sort(key=lambda row: (row.where is None, row.where or Range(0, 0)))
    return _laid_out(rows, line)


def _region(spot: Spot, line: Axis, mine: Sequence[MapFinding], change: Change | None) -> Row:
    region, where = spot.region, spot.range
    return Row(
        CLASSES[region.kind],
        region.name,
        size(region.size),
        _words(spot),
        where,
        _badge(change),
        tuple(_in_short(one, region.name) for one in mine[:MOST_FINDINGS]),
        mine[0].severity.value if mine else "",
        region.path,
        spot.foretold,
        None if where is None else line.at(where.base),
        None if where is None else line.at(where.end),
    )


def _in_short(one: MapFinding, name: str) -> str:
    """For a row of its own: what others it is about, else what it is. A note about many regions is told in full elsewhere."""
    others = [other for other in one.regions if other != name]
    if len(others) > 1:
        return f"{one.severity.value}: {one.rule}, as {len(others)} others"
    return f"{one.severity.value}: " + (f"{one.rule} with {others[0]}" if others else one.what)


def _words(spot: Spot) -> tuple[str, ...]:
    """Address, kind and what else a reader looks for."""
    region = spot.region
    place = str(spot.range) if spot.range else "the kernel chooses at boot"
    place = f"about {place}" if spot.foretold else place
    flags = ["no-map" if region.no_map else "", "reusable" if region.reusable else ""]
    default = ["default CMA"] if region.cma_default else []
    return (place, " · ".join([region.kind.value, *(flag for flag in flags if flag), *default]))


def _badge(change: Change | None) -> str:
    if change is None:
        return ""
    words = {
        What.ADDED: "new",
        What.GROWN: f"+{size(change.size - (change.old_size or 0))}",
        What.MOVED: f"moved from {change.was.base:#x}" if change.was else "moved",
        What.PINNED: "pinned",
    }
    return words[change.what]


def _reserved(one: Range, line: Axis) -> Row:
    words = (str(one), "header's reservation")
    return Row(
        "memreserve", "/memreserve/", size(one.size), words, one, start=line.at(one.base), stop=line.at(one.end)
    )


def _gap(one: mapscale.Stretch, line: Axis) -> Row:
    kind = ("free" if line.ram_known else "between") if one.ram else "hole"
    name = {"free": "free RAM", "between": "between", "hole": "no memory"}[kind]
    words = (str(one.range), "not to scale" if one.broken else "")
    return Row(kind, name, size(one.range.size), words, one.range, start=one.start, stop=one.stop)


def is_gap(row: Row) -> bool:
    return row.kind in ("free", "between", "hole")


def _laid_out(rows: list[Row], line: Axis) -> Scene:
    """From top to bottom; a map with little on it is stretched, so that its line can be read."""
    shown = rows[:MOST_ROWS]
    heights = [GAP if is_gap(row) else REGION + LINE * len(row.findings) for row in shown]
    total = sum(heights) + BETWEEN * max(len(shown) - 1, 0)
    extra = max(LEAST - total, 0) / max(len(shown), 1)
    top = 0.0
    placed = []
    for row, height in zip(shown, heights, strict=True):
        placed.append(_at(row, top, top + height))
        top += height + BETWEEN + extra
    return Scene(tuple(placed), line, max(total, LEAST), len(rows) - len(shown))


def _at(row: Row, top: float, bottom: float) -> Row:
    return replace(row, top=top, bottom=bottom)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a page shows: one map, or before and after. `changes`: lines of what a plan does; `findings`: of the last map."""

    title: str
    subtitle: str
    scenes: tuple[Scene, ...]
    captions: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    findings: tuple[MapFinding, ...] = ()


def of_map(shape: MemoryMap, findings: Sequence[MapFinding]) -> Picture:
    """One map."""
    spots = mapscale.spots(shape)
    line = mapscale.axis([shape], spots)
    drawn = scene(shape, line, spots, findings)
    return Picture(shape.board or "Memory map", _subtitle(shape), (drawn,), findings=tuple(findings))


def of_change(
    before: MemoryMap,
    after: MemoryMap,
    changes: Sequence[Change],
    findings: Sequence[MapFinding],
    words: Sequence[str],
) -> Picture:
    """Before and after, on one line."""
    first, second = mapscale.spots(before), mapscale.spots(after)
    line = mapscale.axis([before, after], [*first, *second])
    scenes = (
        scene(before, line, first),
        scene(after, line, second, findings, {change.path: change for change in changes}),
    )
    title = before.board or "Memory map"
    return Picture(title, _subtitle(before), scenes, ("before", "after"), tuple(words), tuple(findings))


def _subtitle(shape: MemoryMap) -> str:
    ram = f"{size(sum(one.size for one in shape.ram))} of RAM" if shape.ram else "RAM not known"
    live = [one for one in shape.regions if one.enabled]
    held = sum(one.size or 0 for one in live)
    count = f"{len(live)} region{'' if len(live) == 1 else 's'}"
    kernel = f" · Linux {shape.kernel}" if shape.kernel else ""
    return f"{shape.source} · {ram} · {count}, {size(held)} reserved{kernel}"
