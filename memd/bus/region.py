"""org.memd1.Region, from its entry in the board's map."""

from __future__ import annotations

from collections.abc import Mapping

from memd.bus.objects import Object, known
from memd.names import REGION


def region(facts: Mapping[str, object]) -> Object:
    users = facts["users"]
    assert isinstance(users, list)
    return Object(
        REGION,
        known(
            {
                "Name": facts["name"],
                "Kind": facts["kind"],
                "Base": facts.get("base"),
                "Size": facts.get("size"),
                "NoMap": facts["no_map"],
                "Reusable": facts["reusable"],
                "Compatible": facts["compatible"],
                "Label": facts.get("label"),
                "Device": users[0] if users else None,
                "Findings": facts["findings"],
            }
        ),
    )
