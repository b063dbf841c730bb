"""One map of what a machine's sources say, with what they say differently.

The device tree says what is wanted; the boot log, sysfs and iomem say what came of it. A source that is silent says nothing: only a
complete log of a kernel that prints every region makes silence a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from memd.model_map import (
    BootLog,
    DeviceTree,
    Difference,
    Logged,
    MapFacts,
    MemoryMap,
    Node,
    Range,
    Region,
    RegionKind,
    Source,
)
from memd.policy import mapread
from memd.policy.mapspace import joined

BUILT_IN = "reserved"  # the name of the default area that cma= or the kernel's build makes
DEFAULT_HEAPS = ("default_cma_region", BUILT_IN)
RAM = "System RAM"


def merge(facts: MapFacts) -> MemoryMap:
    """The running machine's map."""
    tree = facts.tree or DeviceTree("", Node("", "/"))
    told = mapread.read(tree, page_block=facts.page_block, command_line=facts.command_line)
    log = facts.log or BootLog()
    logged = {one.name: one for one in log.regions}
    regions = tuple(_known(one, logged.get(one.name), facts) for one in told.regions)
    ram = _ram(told, facts)
    return replace(
        told,
        source="the running machine",
        problems=told.problems if facts.tree else (),
        regions=(*regions, *_default(facts, told)),
        ram=ram,
        ram_known=ram is not None,
        differences=tuple(_differences(told, log, facts)),
        warnings=log.warnings,
        kernel=facts.kernel or log.kernel,
        unreadable=facts.unreadable,
        running=True,
    )


def _ram(told: MemoryMap, facts: MapFacts) -> tuple[Range, ...] | None:
    """memblock's list, which has no-map regions in it; else the tree's, which the bootloader has filled in; else iomem's."""
    if facts.memory:
        return joined(facts.memory)
    if told.ram:
        return joined(told.ram)
    found = [entry.range for entry in facts.iomem or () if entry.name == RAM]
    return joined(found) or None


def _known(region: Region, logged: Logged | None, facts: MapFacts) -> Region:
    """A region of the tree, with what the others know of it."""
    sources = [Source.TREE]
    placed = None
    if logged and logged.range:
        placed = logged.range
        sources.append(Source.LOG)
    if region.name in (facts.cma or {}):
        sources.append(Source.CMA)
    where = placed or region.fixed
    if where and any(_reserves(entry.name) and entry.range.overlaps(where) for entry in facts.iomem or ()):
        sources.append(Source.IOMEM)
    if where and any(one.holds(where) for one in joined(facts.reserved or ())):
        sources.append(Source.MEMBLOCK)
    return replace(region, placed=placed, heap=_heap(region, facts), sources=tuple(sources))


def _reserves(name: str) -> bool:
    return name.lower() == "reserved"


def _heap(region: Region, facts: MapFacts) -> str | None:
    heaps = facts.heaps or ()
    if region.kind is not RegionKind.CMA:
        return None
    if region.name in heaps:
        return region.name
    return next((name for name in heaps if name == DEFAULT_HEAPS[0]), None) if region.cma_default else None


def _default(facts: MapFacts, told: MemoryMap) -> Iterator[Region]:
    """The default area that no node makes."""
    logged = facts.log.default_cma if facts.log else None
    areas = facts.cma or {}
    if BUILT_IN not in areas and not logged:
        return
    size = areas.get(BUILT_IN)
    yield Region(
        BUILT_IN,
        "",
        size=logged.size if size is None and logged else size,
        kind=RegionKind.CMA,
        reusable=True,
        compatible=(mapread.POOL,),
        cma_default=True,
        placed=Range(logged.base, size or logged.size) if logged else None,
        heap=next((name for name in DEFAULT_HEAPS if name in (facts.heaps or ())), None),
        sources=(
            *([Source.COMMAND_LINE] if told.cma else []),
            *([Source.LOG] if logged else []),
            *([Source.CMA] if BUILT_IN in areas else []),
        ),
    )


def _differences(told: MemoryMap, log: BootLog, facts: MapFacts) -> Iterator[Difference]:
    logged = {one.name: one for one in log.regions}
    for region in told.regions:
        skipped = region.cma_default and told.cma is not None
        if region.enabled and not skipped and not told.ignored:
            yield from _against_log(region, logged.get(region.name), log)
            yield from _against_cma(region, facts)
            yield from _against_iomem(region, facts)
    names = {one.name for one in told.regions}
    for one in log.regions:
        if one.name not in names and facts.tree and one.range:
            yield Difference(one.name, {Source.TREE: "nothing", Source.LOG: str(one.range)})


def _against_log(region: Region, logged: Logged | None, log: BootLog) -> Iterator[Difference]:
    wanted = region.fixed
    if logged is None or logged.range is None:
        if region.size and log.complete and log.tells_places and not (logged and logged.failed):
            yield Difference(region.name, {Source.TREE: _tree(region), Source.LOG: "nothing"})
    elif wanted and wanted != logged.range:
        yield Difference(region.name, {Source.TREE: str(wanted), Source.LOG: str(logged.range)})
    elif not wanted and region.size and region.size != logged.range.size:
        yield Difference(region.name, {Source.TREE: _kib(region.size), Source.LOG: _kib(logged.range.size)})
    elif logged.flags and logged.flags != _flags(region):
        yield Difference(region.name, {Source.TREE: _flags(region), Source.LOG: logged.flags})


def _against_cma(region: Region, facts: MapFacts) -> Iterator[Difference]:
    if region.kind is not RegionKind.CMA or facts.cma is None:
        return
    if region.name not in facts.cma:
        yield Difference(region.name, {Source.TREE: _tree(region), Source.CMA: "no such area"})
        return
    size = facts.cma[region.name]
    if size is not None and region.size is not None and size != region.size:
        yield Difference(region.name, {Source.TREE: _kib(region.size), Source.CMA: _kib(size)})


def _against_iomem(region: Region, facts: MapFacts) -> Iterator[Difference]:
    """A carve-out inside what Linux has for itself."""
    span = region.fixed
    if not region.no_map or not span or not span.size:
        return
    inside = [entry.range for entry in facts.iomem or () if entry.name == RAM and entry.range.overlaps(span)]
    if inside:
        yield Difference(region.name, {Source.TREE: f"no-map {span}", Source.IOMEM: f"System RAM {inside[0]}"})


def _tree(region: Region) -> str:
    return str(region.fixed) if region.fixed else f"{_kib(region.size or 0)} of {region.kind.value}"


def _flags(region: Region) -> str:
    return f"{'nomap' if region.no_map else 'map'} {'reusable' if region.reusable else 'non-reusable'}"


def _kib(size: int) -> str:
    return f"{size >> 10}K"
