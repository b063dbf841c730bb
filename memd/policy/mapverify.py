"""A plan's expectation against what the booted board says: the device tree it was given, the boot log, CMA's and the heaps' own lists.

Where the kernel logs no place (before 6.3, or where the log is lost), /proc/iomem speaks: a carve-out must not be System RAM, a mapped
region must be reserved inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memd.model_map import PAGE_BLOCK, Logged, MapFacts, Range, Source
from memd.policy import mapnotes
from memd.policy.mapexpect import Expectation, Expected
from memd.policy.mappieces import rounded
from memd.policy.mapspace import joined

HEAPS_FROM = 7  # the first kernels that make a heap of each reusable region themselves
DEFAULT_HEAPS = ("default_cma_region", "reserved")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One comparison. `right`: None where this machine doesn't tell. `source`: who says `seen`."""

    subject: str
    expected: str
    seen: str
    source: str
    right: bool | None


def compare(wanted: Expectation, facts: MapFacts) -> tuple[Outcome, ...]:
    """Every comparison, in the plan's order."""
    found = [one for region in wanted.regions for one in _region(region, facts)]
    found += [one for name in wanted.gone for one in _gone(name, facts)]
    return (*found, *_argument(wanted, facts))


def _region(one: Expected, facts: MapFacts) -> Iterator[Outcome]:
    if not one.name.startswith("cma="):
        yield from _in_tree(one, facts)
        yield _place(one, facts)
    if one.area:
        yield _area(one, one.area, facts)
        yield _heap(one, one.area, facts)
    if one.name.startswith("cma="):
        yield _default_place(one, facts)


def _in_tree(one: Expected, facts: MapFacts) -> Iterator[Outcome]:
    if facts.tree is None:
        yield Outcome(one.name, "in the device tree", "this machine has no device tree", Source.TREE, right=None)
    elif not any(child.name == one.name for child in facts.tree.children):
        yield Outcome(one.name, "in the device tree", "not there: was the plan applied?", Source.TREE, right=False)


def _place(one: Expected, facts: MapFacts) -> Outcome:
    logged = next((entry for entry in facts.log.regions if entry.name == one.name), None) if facts.log else None
    if logged is not None and logged.failed:
        return Outcome(one.name, _words(one), logged.failed, Source.LOG, right=False)
    if logged is not None and logged.range is not None:
        return _logged(one, logged, logged.range)
    if facts.log is not None and facts.log.tells_places and facts.log.complete:
        return Outcome(one.name, _words(one), "no line about it", Source.LOG, right=False)
    return _by_iomem(one, facts)


def _logged(one: Expected, logged: Logged, where: Range) -> Outcome:
    seen = f"{where}, {mapnotes.size(where.size)}" + (f", {logged.flags}" if logged.flags else "")
    right = where.size == one.size and _is_inside(one, where) and (not logged.flags or logged.flags == one.flags)
    return Outcome(one.name, _words(one), seen, Source.LOG, right=right)


def _is_inside(one: Expected, where: Range) -> bool:
    if one.base is not None:
        return where.base == one.base
    windows = joined(one.within)
    return where.base % one.alignment == 0 and (not windows or any(window.holds(where) for window in windows))


def _words(one: Expected) -> str:
    """`0x84300000..0x848fffff, 6M, nomap non-reusable`, or where the kernel chooses, what it is bound to."""
    flags = f", {one.flags}" if one.flags else ""
    if one.base is not None:
        return f"{Range(one.base, one.size)}, {mapnotes.size(one.size)}{flags}"
    inside = f" inside {', '.join(map(str, one.within))}" if one.within else ""
    return f"{mapnotes.size(one.size)}{inside} on a bound of {mapnotes.size(one.alignment)}{flags}"


def _by_iomem(one: Expected, facts: MapFacts) -> Outcome:
    if one.base is None or facts.iomem is None:
        return Outcome(one.name, _words(one), "this kernel's log tells no place", Source.LOG, right=None)
    where = Range(one.base, one.size)
    ram = [entry for entry in facts.iomem if entry.name == "System RAM" and entry.range.overlaps(where)]
    if one.flags.startswith("nomap"):
        seen = f"System RAM {ram[0].range} is there" if ram else "no System RAM there"
        return Outcome(one.name, _words(one), seen, Source.IOMEM, right=not ram)
    held = joined([entry.range for entry in facts.iomem if entry.name.lower() == "reserved"])
    right = any(span.holds(where) for span in held)
    return Outcome(one.name, _words(one), "reserved" if right else "not reserved", Source.IOMEM, right=right)


def _area(one: Expected, area: str, facts: MapFacts) -> Outcome:
    """Rounded to this machine's page block, which may be another than the plan's."""
    block = facts.page_block or PAGE_BLOCK
    expected = f"area {area} of {mapnotes.size(rounded(one.size, block))}"
    if facts.cma is None:
        return Outcome(
            one.name, expected, "this kernel does not list its areas (CONFIG_CMA_SYSFS)", Source.CMA, right=None
        )
    if area not in facts.cma:
        return Outcome(one.name, expected, "no such area", Source.CMA, right=False)
    size = facts.cma[area]
    if size is None:
        return Outcome(one.name, expected, "an area whose size this kernel does not tell", Source.CMA, right=None)
    return Outcome(
        one.name, expected, f"area of {mapnotes.size(size)}", Source.CMA, right=size == rounded(one.size, block)
    )


def _heap(one: Expected, area: str, facts: MapFacts) -> Outcome:
    names = DEFAULT_HEAPS if one.name.startswith("cma=") else (area,)
    expected = f"heap {' or '.join(names)}"
    there = [name for name in names if name in (facts.heaps or ())]
    if there:
        return Outcome(one.name, expected, f"/dev/dma_heap/{there[0]}", "dma_heap", right=True)
    if facts.heaps is None or (not one.name.startswith("cma=") and _version(facts) < HEAPS_FROM):
        return Outcome(one.name, expected, "this kernel makes no heap of a region by itself", "dma_heap", right=None)
    return Outcome(one.name, expected, "no such heap", "dma_heap", right=False)


def _version(facts: MapFacts) -> int:
    major = (facts.kernel or "").partition(".")[0]
    return int(major) if major.isascii() and major.isdigit() else 0


def _default_place(one: Expected, facts: MapFacts) -> Outcome:
    """The log has the size as it was written, not as it was rounded."""
    where = facts.log.default_cma if facts.log else None
    if where is None:
        return Outcome(one.name, _words(one), "no line in the boot log", Source.LOG, right=None)
    return Outcome(one.name, _words(one), str(where), Source.LOG, right=_is_inside(one, Range(where.base, one.size)))


def _gone(name: str, facts: MapFacts) -> Iterator[Outcome]:
    if facts.tree is not None:
        there = any(child.name == name for child in facts.tree.children)
        yield Outcome(name, "gone", "still there" if there else "gone", Source.TREE, right=not there)


def _argument(wanted: Expectation, facts: MapFacts) -> Iterator[Outcome]:
    """The last cma= of the command line: it decides, whatever the plan was about."""
    if facts.command_line is None:
        return
    words = [word for word in facts.command_line.split() if word.startswith("cma=")]
    seen = words[-1] if words else "no cma="
    expected = f"cma={wanted.argument}" if wanted.argument is not None else "no cma="
    if wanted.argument is not None or wanted.about_default:
        yield Outcome("command line", expected, seen, Source.COMMAND_LINE, right=seen == expected)
