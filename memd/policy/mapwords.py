"""A map, a region and a finding as plain values: what --json, GetStatus and the bus show. Keys are absent where nothing is told."""

from __future__ import annotations

from collections.abc import Iterable

from memd.model_map import MapFinding, MemoryMap, Range, Region, Severity


def board(one: MemoryMap) -> str | None:
    """The board's name: its model, else the first of its compatible."""
    return one.board or next(iter(one.compatible), None)


def region(one: Region, rules: Iterable[str] = ()) -> dict[str, object]:
    """`base` and `size` as the tree has them; `placed` where the kernel has it; `rules`: names of those that it breaks."""
    values: dict[str, object | None] = {
        "name": one.name,
        "node": one.path or None,
        "kind": one.kind.value,
        "base": one.base,
        "size": one.size,
        "placed": one.where.base if one.where and one.base is None else None,
        "label": one.label,
        "alignment": one.alignment,
        "status": one.status,
        "heap": one.heap,
    }
    return {key: value for key, value in values.items() if value is not None} | {
        "no_map": one.no_map,
        "reusable": one.reusable,
        "enabled": one.enabled,
        "dynamic": one.dynamic,
        "default": one.cma_default,
        "compatible": list(one.compatible),
        "alloc_ranges": [span(part) for part in one.alloc_ranges],
        "users": list(one.users),
        "sources": [str(source) for source in one.sources],
        "findings": sorted(rules),
    }


def by_region(findings: Iterable[MapFinding]) -> dict[str, set[str]]:
    """Region's name -> names of the rules that it breaks."""
    found: dict[str, set[str]] = {}
    for one in findings:
        for name in one.regions:
            found.setdefault(name, set()).add(one.rule)
    return found


def span(one: Range) -> dict[str, object]:
    return {"base": one.base, "size": one.size}


def finding(one: MapFinding) -> dict[str, object]:
    return {
        "rule": one.rule,
        "severity": one.severity.value,
        "place": one.place,
        "what": one.what,
        "why": one.why,
        "remedy": one.remedy,
        "ranges": [span(part) for part in one.ranges],
        "regions": list(one.regions),
    }


def counts(findings: Iterable[MapFinding]) -> dict[str, int]:
    """How many of each severity: errors, warnings, notes."""
    told = [one.severity for one in findings]
    return {f"{severity.value}s": told.count(severity) for severity in Severity}


def whole(one: MemoryMap, findings: list[MapFinding]) -> dict[str, object]:
    """A map with its findings. `ram` is absent where nobody knows it."""
    rules = by_region(findings)
    facts: dict[str, object | None] = {
        "source": one.source,
        "board": board(one),
        "compatible": list(one.compatible),
        "kernel": one.kernel,
        "page_block": one.page_block,
        "ram": [span(part) for part in one.ram] if one.ram is not None else None,
        "cma": one.cma.text if one.cma else None,
    }
    return {key: value for key, value in facts.items() if value is not None} | {
        "memreserve": [span(part) for part in one.memreserve],
        "regions": [region(part, rules.get(part.name, ())) for part in one.regions],
        "differences": [str(difference) for difference in one.differences],
        "unreadable": list(one.unreadable),
        "counts": counts(findings),
        "findings": [finding(part) for part in findings],
    }
