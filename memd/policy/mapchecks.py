"""What is wrong with single regions, the nodes and the command line. Each check yields Hits; maptable.py says how bad each is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memd.model_map import MIB, PAGE_BLOCK, CmaArgument, MemoryMap, Range, Region, RegionKind
from memd.units import format_size

PAGE = 4096
LAST_32BIT = 1 << 32
# What Linux makes something of (7.3): RESERVEDMEM_OF_DECLARE, reserved_mem_matches of drivers/of/platform.c, and bindings whose
# drivers look the node up.
HANDLED = frozenset(
    {
        "shared-dma-pool", "restricted-dma-pool", "nvidia,tegra210-emc-table",
        "phram", "qcom,rmtfs-mem", "qcom,cmd-db", "qcom,smem", "ramoops", "nvmem-rmem", "google,open-dice",
        "arm,scmi-shmem", "framebuffer", "intel,wakeup-mailbox", "nvidia,tegra264-bpmp-shmem", "xen,shared-memory-v1",
    }
)  # fmt: skip
HEAPS_OF_EVERY_REGION = (7, 2)  # Linux that makes a DMA-BUF heap of each CMA region by itself
MANY_REGIONS = 64  # MAX_RESERVED_REGIONS; before 6.13 fixed regions count too
COUNTS_ALL_BEFORE = (6, 13)
CMA_AREAS = 8  # CONFIG_CMA_AREAS without NUMA is 8, with it 20


@dataclass(frozen=True, slots=True)
class Hit:
    """Rule `rule` is broken at `place`: `what`, with the numbers. `remedy`: better words than the table's, where there are numbers."""

    rule: str
    place: str
    what: str
    ranges: tuple[Range, ...] = ()
    regions: tuple[str, ...] = ()
    remedy: str = ""


def hit(rule: str, region: Region, what: str, remedy: str = "", where: Range | None = None) -> Hit:
    span = where or region.where
    return Hit(rule, region.path or "command line", what, (span,) if span else (), (region.name,), remedy)


def of_region(region: Region, new: MemoryMap) -> Iterator[Hit]:
    """All that one enabled region breaks by itself."""
    yield from _properties(region)
    yield from _name(region)
    yield from _bounds(region)
    yield from _flags(region)
    yield from _alignment(region, new.page_block)
    yield from _ranges(region, alignment(region, new.page_block))
    yield from _users(region, new)


def _properties(region: Region) -> Iterator[Hit]:
    for problem in region.problems:
        read = problem.startswith("reg ") or not region.has_reg
        if "behind the last address" in problem:
            yield hit("beyond-memory", region, f"{region.name}: {problem}")
        else:
            yield hit("property-length" if read else "property-ignored", region, f"{region.name}: {problem}")
    if region.has_reg and region.size_property not in (None, region.size):
        yield hit(
            "reg-and-size",
            region,
            f"{region.name} has reg for {_size(region.size)} and size = {_size(region.size_property)}",
        )
    if region.more:
        yield hit(
            "several-reg", region, f"{region.name} has {len(region.more) + 1} pairs in reg", where=region.more[0]
        )
    if not region.problems and not region.size:
        yield hit(
            "no-size", region, f"{region.name} has {'a size of 0' if region.size == 0 else 'neither reg nor size'}"
        )


def _name(region: Region) -> Iterator[Hit]:
    if region.has_reg and region.base is not None and region.unit != region.base:
        named = f"is named @{region.unit_text}" if region.unit_text is not None else "has no unit address"
        stem = region.name.partition("@")[0]
        yield hit(
            "unit-address",
            region,
            f"{region.name} {named} and lies at {region.base:#x}",
            f"name it {stem}@{region.base:x}",
        )
    elif region.unit_text and not region.has_reg and region.path:
        yield hit("unit-address", region, f"{region.name} has a unit address and no reg")
    elif region.unit_text and region.unit_text.lower().startswith("0x"):
        stem = region.name.partition("@")[0]
        yield hit(
            "unit-address", region, f"{region.name} writes its unit address with 0x", f"name it {stem}@{region.unit:x}"
        )


def _bounds(region: Region) -> Iterator[Hit]:
    base, size = region.base or 0, region.size or 0
    if not size or not region.path:
        return
    if (base | size) % PAGE:
        yield hit("page-bounds", region, f"{region.name} ({_span(region)}) is off page bounds", _rounded(region, PAGE))
    if (base | size) % MIB:
        yield hit("mib-bounds", region, f"{region.name} ({_span(region)}) is off 1M bounds", _rounded(region, MIB))


def _rounded(region: Region, block: int) -> str:
    size = region.size or 0
    if region.base is None:
        return f"make it {_size(-(-size // block) * block)}"
    base = region.base // block * block
    end = -(-(region.base + size) // block) * block
    return f"reserve {Range(base, end - base)} ({_size(end - base)}), if nothing else lies there"


def _flags(region: Region) -> Iterator[Hit]:
    pool = "shared-dma-pool" in region.compatible
    if region.no_map and region.reusable:
        yield hit("no-map-reusable", region, f"{region.name} is no-map and reusable")
    elif region.reusable and not pool:
        yield hit("reusable-without-pool", region, f"{region.name} is reusable and no shared-dma-pool")
    if "restricted-dma-pool" in region.compatible and (region.no_map or region.reusable or region.cma_default):
        yield hit("restricted-pool-flags", region, f"{region.name} is a restricted-dma-pool with another flag")
    if region.cma_default and region.kind is not RegionKind.CMA:
        yield hit("cma-default-no-cma", region, f"{region.name} has linux,cma-default and is {region.kind.value}")
    if region.compatible and not HANDLED.intersection(region.compatible):
        yield hit("unknown-compatible", region, f"{region.name}: nobody handles {', '.join(region.compatible)}")


def _alignment(region: Region, page_block: int | None) -> Iterator[Hit]:
    block = page_block or PAGE_BLOCK
    asked = region.alignment
    if region.kind is RegionKind.CMA and region.size and ((region.base or 0) | region.size) % block:
        guess = "" if page_block else ", the vendor's (--pageblock says another)"
        yield hit(
            "cma-alignment",
            region,
            f"CMA region {region.name} ({_span(region)}) is no multiple of the page block {_size(block)}{guess}",
            _rounded(region, block),
        )
    if asked is None:
        return
    if asked & (asked - 1):
        yield hit("alignment-value", region, f"{region.name} has alignment {asked:#x}")
    elif region.kind is RegionKind.CMA and not region.has_reg and asked < block:
        yield hit(
            "alignment-small", region, f"{region.name} asks for {_size(asked)}, the page block is {_size(block)}"
        )
    if region.base is not None and asked and region.base % asked:
        yield hit("alignment-base", region, f"{region.name} lies at {region.base:#x}, its alignment is {_size(asked)}")


def alignment(region: Region, page_block: int | None) -> int:
    """What the kernel aligns a region to that it places: CMA to the page block at least."""
    least = (page_block or PAGE_BLOCK) if region.kind is RegionKind.CMA else 1
    return max(region.alignment or 1, least)


def _ranges(region: Region, align: int) -> Iterator[Hit]:
    """alloc-ranges of a region that the kernel places."""
    if region.has_reg or not region.size or not region.alloc_ranges:
        return
    if all(_lowest(one, region, align) is None for one in region.alloc_ranges):
        told = ", ".join(str(one) for one in region.alloc_ranges)
        yield hit(
            "alloc-ranges-small",
            region,
            f"{region.name} wants {_size(region.size)} in {told}",
            where=region.alloc_ranges[0],
        )
    beyond = [one for one in region.alloc_ranges if one.end > LAST_32BIT]
    if beyond:
        yield hit("alloc-ranges-32bit", region, f"{region.name} may lie in {beyond[0]}", where=beyond[0])


def _lowest(one: Range, region: Region, align: int) -> int | None:
    """The lowest aligned base in a range that holds the region."""
    base = -(-one.base // align) * align
    return base if base + (region.size or 0) <= one.end else None


def _users(region: Region, new: MemoryMap) -> Iterator[Hit]:
    lonely = region.kind is RegionKind.CMA and not region.users and not region.cma_default and region.path
    makes_heaps = new.kernel is not None and version(new.kernel) >= HEAPS_OF_EVERY_REGION
    if lonely and region.heap is None and not (makes_heaps and not new.running):
        yield hit(
            "cma-unused", region, f"CMA region {region.name} has no user" + (" and no heap" if new.running else "")
        )


def of_nodes(new: MemoryMap) -> Iterator[Hit]:
    """/reserved-memory as a whole, and what sources and the kernel say."""
    if new.ignored:
        yield Hit("node-ignored", "/reserved-memory", new.ignored)
    for problem in new.problems:
        yield Hit("node-odd", "/", problem)
    for warning in new.warnings:
        yield Hit("kernel-warning", "boot log", warning)
    for difference in new.differences:
        yield Hit("difference", difference.about, str(difference), regions=(difference.about,))
    defaults = [one for one in new.regions if one.enabled and one.cma_default and one.path]
    if len(defaults) > 1:
        names = ", ".join(one.name for one in defaults)
        yield Hit("cma-default-twice", "/reserved-memory", f"{names} have linux,cma-default")


def of_numbers(new: MemoryMap) -> Iterator[Hit]:
    """How many regions there are."""
    live = [one for one in new.regions if one.enabled and one.path]
    dynamic = [one for one in live if not one.has_reg]
    known = version(new.kernel) if new.kernel else None
    if len(dynamic) > MANY_REGIONS:
        yield Hit(
            "too-many-regions", "/reserved-memory", f"{len(dynamic)} dynamic regions, the kernel keeps {MANY_REGIONS}"
        )
    elif len(live) > MANY_REGIONS and (known is None or known < COUNTS_ALL_BEFORE):
        yield Hit(
            "too-many-regions", "/reserved-memory", f"{len(live)} regions, Linux before 6.13 keeps {MANY_REGIONS}"
        )
    areas = [one for one in live if one.kind is RegionKind.CMA]
    if len(areas) >= CMA_AREAS:  # the default area is one more
        yield Hit(
            "too-many-cma",
            "/reserved-memory",
            f"{len(areas)} CMA regions beside the default one; many kernels keep {CMA_AREAS}",
        )


def of_command_line(new: MemoryMap) -> Iterator[Hit]:
    """cma=, and what it overrides."""
    words = [word for word in (new.command_line or "").split() if word.startswith("cma=")]
    if words and new.cma is None:
        yield Hit("cma-argument", "command line", f"{words[-1]} can't be read")
    if new.cma is None:
        return
    for region in new.regions:
        if region.enabled and region.cma_default and region.path:
            yield hit("cma-default-overridden", region, f"cma={new.cma.text} makes the kernel skip {region.name}")
    yield from _argument(new.cma, new)


def _argument(cma: CmaArgument, new: MemoryMap) -> Iterator[Hit]:
    block = new.page_block or PAGE_BLOCK
    size = -(-cma.size // block) * block
    said = f"cma={cma.text}"
    if size != cma.size:
        yield Hit("cma-argument-size", "command line", f"{said} takes {_size(size)} (page block {_size(block)})")
    if cma.base is None or not cma.size:
        return
    span = Range(cma.base, size if cma.end is None else max(cma.end - cma.base, 0))
    if span.size < size:
        yield Hit("cma-argument", "command line", f"{said}: {span} does not hold {_size(size)}", (span,))
    elif cma.end is None and cma.base % block:
        yield Hit(
            "cma-argument", "command line", f"{said} begins at no multiple of the page block {_size(block)}", (span,)
        )
    for region in new.regions:
        if cma.end is None and region.enabled and region.fixed and region.fixed.overlaps(span):
            yield Hit(
                "cma-argument",
                "command line",
                f"{said} lies on {region.name} ({region.fixed})",
                (span, region.fixed),
                (region.name,),
            )
    if cma.end is None and new.ram_known and new.ram and not any(one.holds(span) for one in new.ram):
        yield Hit("cma-argument", "command line", f"{said} lies outside RAM", (span,))


def version(text: str) -> tuple[int, ...]:
    """(7, 2, 11) of `7.2.11+deb13-arm64`; what is no number ends it."""
    found: list[int] = []
    for part in text.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits[:6]))
    return tuple(found)


def _size(size: int | None) -> str:
    """Exact: `12M`, `5M`, `1088K`, `4097B`."""
    if size is None:
        return "nothing"
    for suffix, unit in (("G", 1 << 30), ("M", MIB), ("K", 1 << 10)):
        if size and size % unit == 0:
            return f"{size // unit}{suffix}"
    return f"{size}B" if size < 1 << 20 else format_size(size)


def _span(region: Region) -> str:
    return str(region.fixed) if region.fixed else _size(region.size)
