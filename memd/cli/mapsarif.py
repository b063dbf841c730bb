"""Findings as SARIF 2.1.0 (OASIS, 2020), which code hosts show beside a change.

A device tree node has no line in a compiled tree, so a place is a logical location in the file that was checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memd import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memd.model_map import MapFinding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "note": "note"}


def report(file: str | None, findings: Sequence[MapFinding]) -> dict[str, object]:
    """The whole log of one run. `file`: what was checked; None is the running machine."""
    from memd.policy.maptable import RULES

    rules = [
        {
            "id": rule.name,
            "shortDescription": {"text": rule.what},
            "fullDescription": {"text": rule.why},
            "help": {"text": rule.remedy},
            "defaultConfiguration": {"level": LEVELS[rule.severity.value]},
        }
        for rule in RULES
    ]
    index = {rule.name: at for at, rule in enumerate(RULES)}
    driver = {"name": "memctl map check", "version": __version__, "rules": rules}
    results = [_result(one, index[one.rule], file) for one in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(one: MapFinding, index: int, file: str | None) -> dict[str, object]:
    place: dict[str, object] = {"logicalLocations": [{"fullyQualifiedName": one.place, "kind": "element"}]}
    if file is not None:
        import os
        from urllib.parse import quote

        place["physicalLocation"] = {"artifactLocation": {"uri": quote(os.fsencode(file))}}
    return {
        "ruleId": one.rule,
        "ruleIndex": index,
        "level": LEVELS[one.severity.value],
        "message": {"text": f"{one.what}. {one.why} {one.remedy[:1].upper()}{one.remedy[1:].rstrip('.')}."},
        "locations": [place],
    }
