"""A plan as a file: stable JSON with everything in it that somebody needs to apply it, to check it and to verify it after the boot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memd.errors import InvalidArgs
from memd.model_map import MemoryMap, Range, Region, RegionKind
from memd.policy import mapnotes
from memd.policy.mapask import Action, Change, Drawn
from memd.policy.mapexpect import Expectation, Expected, foretell
from memd.policy.mapplan import accepted

FORMAT, VERSION = "memd-map-plan", 1
MOST_REGIONS = 10_000


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What is read back of a plan. `accepted`: the regions that it moves, old path -> new path; `files`: text by name."""

    wish: str
    source: str
    accepted: Mapping[str, str]
    expectation: Expectation
    files: Mapping[str, str]


def encode(plan: Drawn, files: Mapping[str, str], steps: tuple[str, ...]) -> dict[str, object]:
    """Bytes and numbers; addresses are numbers too. Keys are only ever added."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "wish": mapnotes.wish(plan.ask),
        "source": plan.before.source,
        "board": plan.before.board,
        "page_block": plan.before.page_block,
        "changes": [_change(change) for change in plan.changes],
        "arguments": _arguments(plan),
        "accepted": accepted(plan.changes),
        "notes": list(plan.notes),
        "steps": list(steps),
        "files": dict(files),
        "before": _map(plan.before),
        "after": _map(plan.after),
        "expect": _expectation(foretell(plan)),
    }


def _change(change: Change) -> dict[str, object]:
    return {
        "what": change.what.value,
        "name": change.name,
        "path": change.path,
        "kind": change.kind.value,
        "size": change.size,
        "old_path": change.old,
        "old_size": change.old_size,
        "was": _range(change.was),
        "now": _range(change.now),
    }


def _range(one: Range | None) -> dict[str, int] | None:
    return None if one is None else {"base": one.base, "size": one.size}


def _arguments(plan: Drawn) -> dict[str, list[str]]:
    """Words of the kernel command line."""
    if plan.ask.action is not Action.CMA or plan.after.cma is None:
        return {"add": [], "remove": []}
    old = [f"cma={plan.before.cma.text}"] if plan.before.cma else []
    return {"add": [f"cma={plan.after.cma.text}"], "remove": old}


def _map(shape: MemoryMap) -> dict[str, object]:
    ram = None if shape.ram is None else [_range(one) for one in shape.ram]
    return {"ram": ram, "regions": [_region(one) for one in shape.regions if one.enabled]}


def _region(one: Region) -> dict[str, object]:
    return {"name": one.name, "kind": one.kind.value, "base": one.base, "size": one.size, "label": one.label}


def _expectation(wanted: Expectation) -> dict[str, object]:
    return {
        "regions": [
            {
                "name": one.name,
                "kind": one.kind.value,
                "size": one.size,
                "base": one.base,
                "within": [_range(window) for window in one.within],
                "alignment": one.alignment,
                "flags": one.flags,
                "area": one.area,
                "changed": one.changed,
                "log": list(one.log),
            }
            for one in wanted.regions
        ],
        "gone": list(wanted.gone),
        "argument": wanted.argument,
        "about_default": wanted.about_default,
        "log": list(wanted.log),
    }


def decode(text: str, name: str) -> PlanFile:
    """InvalidArgs for whatever is no plan of this version."""
    try:
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise ValueError(f"its format is {told['format']!r}")
        if told["version"] != VERSION:
            raise InvalidArgs(f"{name} is a plan of version {told['version']!r}; this memctl knows version {VERSION}")
        return PlanFile(
            wish=_text(told["wish"]),
            source=_text(told["source"]),
            accepted={_text(old): _text(new) for old, new in told["accepted"].items()},
            expectation=_wanted(told["expect"]),
            files={_text(key): _text(value) for key, value in told["files"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgs(f"{name} is no plan of memctl map plan: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} stands where text should be")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r:.40} stands where a number should be")
    return value


def _wanted(told: Mapping[str, Any]) -> Expectation:
    if len(told["regions"]) > MOST_REGIONS:
        raise ValueError(f"more than {MOST_REGIONS} regions")
    return Expectation(
        regions=tuple(_one(entry) for entry in told["regions"]),
        gone=tuple(_text(name) for name in told["gone"]),
        argument=None if told["argument"] is None else _text(told["argument"]),
        about_default=bool(told["about_default"]),
        log=tuple(_text(line) for line in told["log"]),
    )


def _one(told: Mapping[str, Any]) -> Expected:
    return Expected(
        name=_text(told["name"]),
        kind=RegionKind(told["kind"]),
        size=_number(told["size"]),
        base=None if told["base"] is None else _number(told["base"]),
        within=tuple(Range(_number(window["base"]), _number(window["size"])) for window in told["within"]),
        alignment=max(_number(told["alignment"]), 1),
        flags=_text(told["flags"]),
        log=tuple(_text(line) for line in told["log"]),
        area=None if told["area"] is None else _text(told["area"]),
        changed=bool(told["changed"]),
    )
