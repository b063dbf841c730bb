"""What a board says after it booted with a plan, if the plan is right: foretold here, and compared with what it says.

Documents: drivers/of/of_reserved_mem.c (the lines are those of 6.3 and later; before, the kernel logged nothing for a carve-out),
kernel/dma/contiguous.c, mm/cma_sysfs.c. A dynamic region has no address to foretell: its name, size, range and alignment are.
"""

from __future__ import annotations

from dataclasses import dataclass

from memd.model_map import MemoryMap, Range, Region, RegionKind
from memd.policy import mappieces
from memd.policy.mapask import Action, Drawn

ANY = "0x????????????????"  # an address that the kernel chooses


@dataclass(frozen=True, slots=True)
class Expected:
    """One region. `base`: None where the kernel chooses inside `within`, on a bound of `alignment`. `log`: the kernel's lines, with `?` for
    digits that it chooses; `flags` are in them. `area`: its CMA area's name. `changed`: the plan is about it."""

    name: str
    kind: RegionKind
    size: int
    base: int | None = None
    within: tuple[Range, ...] = ()
    alignment: int = 1
    flags: str = ""
    log: tuple[str, ...] = ()
    area: str | None = None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """`gone`: node names that must not be in the tree any more. `argument`: the `cma=` that the command line must have; None with
    `about_default`: there must be none, because a linux,cma-default node counts."""

    regions: tuple[Expected, ...]
    gone: tuple[str, ...] = ()
    argument: str | None = None
    about_default: bool = False
    log: tuple[str, ...] = ()


def foretell(plan: Drawn) -> Expectation:
    changed = {change.path for change in plan.changes}
    after = plan.after
    regions = tuple(
        _region(region, after, changed=region.path in changed)
        for region in after.regions
        if region.enabled and region.path and region.size and not (region.cma_default and after.cma)
    )
    gone = tuple(change.old.rpartition("/")[2] for change in plan.moved if change.old)
    argument = after.cma.text if after.cma else None
    default = (_default(after, changed=plan.ask.action is Action.CMA),) if after.cma and after.cma.size else ()
    by_node = any(region.cma_default for region in plan.before.regions)
    skipped = (SKIPPED,) if by_node and after.cma is not None else ()
    return Expectation((*regions, *default), gone, argument, by_node, skipped)


SKIPPED = "Skipping dt linux,cma-default node"


def _region(region: Region, shape: MemoryMap, *, changed: bool) -> Expected:
    size = region.size or 0
    cma = region.kind is RegionKind.CMA
    return Expected(
        name=region.name,
        kind=region.kind,
        size=size,
        base=region.base,
        within=() if region.base is not None else region.alloc_ranges,
        alignment=1 if region.base is not None else mappieces.dynamic_alignment(region, shape),
        flags=_flags(region),
        log=(*((_initialized(region),) if cma else ()), _line(region, size)),
        area=region.name if cma else None,
        changed=changed,
    )


def _initialized(region: Region) -> str:
    return f"OF: reserved mem: initialized node {region.name}, compatible id shared-dma-pool"


def _line(region: Region, size: int) -> str:
    """`OF: reserved mem: 0x…..0x… (5120 KiB) nomap non-reusable camera@84300000`"""
    first, last = (ANY, ANY) if region.base is None else (f"{region.base:#018x}", f"{region.base + size - 1:#018x}")
    return f"OF: reserved mem: {first}..{last} ({size >> 10} KiB) {_flags(region)} {region.name}"


def _flags(region: Region) -> str:
    return f"{'nomap' if region.no_map else 'map'} {'reusable' if region.reusable else 'non-reusable'}"


def _default(shape: MemoryMap, *, changed: bool) -> Expected:
    """The area of `cma=`. The log says the size as written; the area has it rounded up."""
    argument = shape.cma
    assert argument is not None
    where = ANY if argument.base is None or argument.end is not None else f"{argument.base:#018x}"
    within = (Range(argument.base or 0, argument.end - (argument.base or 0)),) if argument.end else ()
    return Expected(
        name=f"cma={argument.text}",
        kind=RegionKind.CMA,
        size=argument.size,
        base=argument.base if argument.end is None else None,
        within=within,
        alignment=mappieces.block(shape),
        log=(f"cma: Reserved {argument.size >> 20} MiB at {where}",),
        area="reserved",
        changed=changed,
    )
