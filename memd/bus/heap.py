"""org.memd1.Heap, from its entry in a status."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from memd.bus.objects import Object, known, path
from memd.names import HEAP


def heap(facts: Mapping[str, object], areas: Collection[object]) -> Object:
    """`areas`: names of the CMA areas that have an object to link to."""
    region = facts.get("region")
    return Object(
        HEAP,
        known(
            {
                "Name": facts["name"],
                "Kind": facts["kind"],
                "Simulated": facts["simulated"],
                "Aliases": facts["aliases"],
                "Region": path("cma", str(region)) if region in areas else None,
                "Device": facts.get("device"),
                "LentBytes": facts["lent_bytes"],
                "LentBuffers": facts["lent_buffers"],
            }
        ),
    )
