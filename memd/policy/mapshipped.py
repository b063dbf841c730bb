"""A changed map against the shipped one: trusted firmware guards the carve-outs that it knows, at their places and sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

from memd.model_map import MemoryMap, Range, Region, RegionKind
from memd.policy.mapchecks import Hit, hit


def against(new: MemoryMap, base: MemoryMap, accepted: Collection[str]) -> Iterator[Hit]:
    """What the shipped map had and the new one has not. `accepted`: names or paths of regions that a plan moves; as a mapping, to which
    path each."""
    later = pairs(new, base, accepted if isinstance(accepted, Mapping) else {})
    for old in base.regions:
        if old.enabled:
            yield from _region(old, later.get(old.path), accepted)
    for entry in base.memreserve:
        kept = any(one.holds(entry) for one in new.memreserve)
        held = any(one.enabled and one.where and one.where.holds(entry) for one in new.regions)
        if not kept and not held:
            yield Hit("reserved-vanished", f"/memreserve/ {entry}", f"/memreserve/ {entry} is gone", (entry,))


def _region(old: Region, now: Region | None, accepted: Collection[str]) -> Iterator[Hit]:
    if old.kind is RegionKind.CARVE_OUT:
        yield from _carve_out(old, now, accepted)
    elif old.kind is RegionKind.OTHER and old.fixed and (now is None or not now.enabled):
        yield hit("reserved-vanished", old, f"{old.name} ({old.fixed}) is gone or disabled")


def _carve_out(old: Region, now: Region | None, accepted: Collection[str]) -> Iterator[Hit]:
    if now is None or not now.enabled:
        how = "is gone" if now is None else "is disabled"
        yield hit("carve-out-vanished", old, f"carve-out {old.name} ({_span(old)}) {how}")
    elif not now.no_map:
        yield hit("carve-out-vanished", now, f"{now.name} was a carve-out and is no longer no-map", where=old.where)
    else:
        yield from _changed(old, now, accepted)


def _changed(old: Region, now: Region, accepted: Collection[str]) -> Iterator[Hit]:
    if (now.size or 0) < (old.size or 0):
        words = f"carve-out {old.name} was {_kib(old.size)} and is {_kib(now.size)}"
        yield hit("carve-out-shrunk", now, words, where=old.where)
    holds = old.fixed and now.fixed and now.fixed.holds(old.fixed)
    if old.base != now.base and not holds and not {old.name, old.path, now.name, now.path}.intersection(accepted):
        yield hit(
            "carve-out-moved", now, f"carve-out {old.name} was at {_span(old)} and is at {_span(now)}", where=old.where
        )


def pairs(new: MemoryMap, base: MemoryMap, moves: Mapping[str, str] = MappingProxyType({})) -> dict[str, Region]:
    """Old path -> the same region now: as a plan says it moved, else by path, else by label, else by the name before the @ where both maps
    have one such."""
    now = {one.path: one for one in new.regions}
    goals = {old.path: moves.get(old.path, old.path) for old in base.regions}
    found = {old: now[path] for old, path in goals.items() if path in now}
    for word in (_label, _stem):
        taken = {one.path for one in found.values()}
        mine = _once([one for one in new.regions if one.path not in taken], word)
        theirs = _once([old for old in base.regions if old.path not in found], word)
        found |= {old.path: mine[key] for key, old in theirs.items() if key in mine}
    return found


def _label(region: Region) -> str:
    return region.label or ""


def _stem(region: Region) -> str:
    return region.name.partition("@")[0]


def _once(regions: list[Region], word: Callable[[Region], str]) -> dict[str, Region]:
    counts = Counter(word(one) for one in regions)
    return {key: one for one in regions if (key := word(one)) and counts[key] == 1}


def changed(new: MemoryMap, base: MemoryMap) -> frozenset[str]:
    """Paths of the new map's regions that the shipped map does not have just so."""
    before = {one.path: one for one in base.regions}
    return frozenset(
        one.path for one in new.regions if one.path not in before or _told(before[one.path]) != _told(one)
    )


def _told(one: Region) -> tuple[object, ...]:
    """What a tree says of a region, without what hangs on the rest of the tree (phandles, users)."""
    flags = (one.no_map, one.reusable, one.enabled, one.cma_default, one.compatible)
    return (one.base, one.size, one.alignment, one.alloc_ranges, one.more, one.problems, *flags)


def _span(region: Region) -> Range | str:
    return region.fixed or f"a place of the kernel's choice ({_kib(region.size)})"


def _kib(size: int | None) -> str:
    return f"{(size or 0) >> 10}K"
