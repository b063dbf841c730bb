"""org.memd1.Cma, from its entry in a status."""

from __future__ import annotations

from collections.abc import Mapping

from memd.bus.objects import Object, known
from memd.names import CMA


def cma(facts: Mapping[str, object]) -> Object:
    size, available = facts.get("size"), facts.get("available")
    both = isinstance(size, int) and isinstance(available, int)
    return Object(
        CMA,
        known(
            {
                "Name": facts["name"],
                "Size": size,
                "Available": available,
                "Used": size - available if both else None,  # type: ignore[operator]  # both are int
                "AllocSuccess": facts.get("alloc_success"),
                "AllocFail": facts.get("alloc_fail"),
                "LargestRun": facts.get("largest_run"),
                "Fragmentation": facts.get("fragmentation"),
                "State": facts.get("state"),
                "Peak": facts.get("peak"),
                "Failures": facts.get("failures"),
                "LargestFailed": facts.get("largest_failed"),
                "LargestAsked": facts.get("largest_asked"),
            }
        ),
    )
