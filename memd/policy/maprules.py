"""What is wrong with a memory map: all rules of maptable.py, asked of one map. Pure.

Severity follows what real boards ship: what most of them break is a note on a board's own map, and an error on what somebody adds or
changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from memd.model_map import MapFinding, MemoryMap, Severity
from memd.policy.mapchecks import Hit, of_command_line, of_nodes, of_numbers, of_region
from memd.policy.mapshipped import against, changed
from memd.policy.mapspace import of_space
from memd.policy.maptable import BY_NAME, RULES

ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
SHOWN = 8  # names in a note about many regions


def check(new: MemoryMap, base: MemoryMap | None = None, accepted: Collection[str] = ()) -> list[MapFinding]:
    """Findings, errors first, then by address.

    `base`: the shipped map. With it, what `new` adds or changes is held to the strict rules (1 MiB bounds, unit addresses), and a
    carve-out that shrank, moved or vanished is an error, save for moves of those named in `accepted` (node paths or names: what a
    plan lists). Without it, all of `new` is taken as shipped.
    """
    planned = _names(new, base) if base else frozenset()
    hits = [*_hits(new), *(against(new, base, accepted) if base else ())]
    findings = [_finding(one, planned) for one in hits]
    return sorted(_together(findings), key=_order)


def _names(new: MemoryMap, base: MemoryMap) -> frozenset[str]:
    paths = changed(new, base)
    return frozenset(one.name for one in new.regions if one.path in paths)


def _hits(new: MemoryMap) -> Iterator[Hit]:
    for region in new.regions:
        if region.enabled:
            yield from of_region(region, new)
    yield from of_space(new)
    yield from of_nodes(new)
    yield from of_numbers(new)
    yield from of_command_line(new)


def _finding(one: Hit, planned: Collection[str]) -> MapFinding:
    rule = BY_NAME[one.rule]
    concerned = any(name in planned for name in one.regions) if one.regions else bool(planned)
    return MapFinding(
        rule.name,
        rule.severity if concerned else rule.shipped,
        one.place,
        one.what,
        rule.why,
        one.remedy or rule.remedy,
        one.ranges,
        one.regions,
    )


def _together(findings: list[MapFinding]) -> Iterator[MapFinding]:
    """Notes of a rule that most boards break, as one."""
    many = {rule.name for rule in RULES if rule.many}
    soft: dict[str, list[MapFinding]] = {}
    for one in findings:
        if one.severity is Severity.NOTE and one.rule in many:
            soft.setdefault(one.rule, []).append(one)
        else:
            yield one
    for alike in soft.values():
        yield alike[0] if len(alike) == 1 else _joined(alike)


def _joined(alike: list[MapFinding]) -> MapFinding:
    regions = tuple(dict.fromkeys(name for one in alike for name in one.regions))
    shown = ", ".join(regions[:SHOWN]) + (f" and {len(regions) - SHOWN} more" if len(regions) > SHOWN else "")
    rule = BY_NAME[alike[0].rule]
    ranges = tuple(span for one in alike for span in one.ranges)
    what = f"{len(regions)} regions: {rule.what[0].lower()}{rule.what[1:].rstrip('.')}: {shown}"
    return MapFinding(rule.name, Severity.NOTE, "/reserved-memory", what, rule.why, rule.remedy, ranges, regions)


def _order(one: MapFinding) -> tuple[int, int, str, str]:
    return (ORDER[one.severity], one.ranges[0].base if one.ranges else -1, one.rule, one.place)
