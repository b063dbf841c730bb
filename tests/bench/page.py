"""The tables of docs/bench.md, made of docs/bench.json and docs/bench-vm.json: no number in them is typed by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- made by `make docs` from {} -->\n", "<!-- to here -->\n"
# Figure -> (what is to be reached, whether more is better).
REACH: dict[str, tuple[float, bool]] = {
    "lane Allocate 4 KiB / C service on sd-bus": (0.40, False),
    "lane, 16 in flight, calls a second / C service": (2.0, True),
    "bus Allocate, dbus-next / C service": (6.5, False),
    "bus Allocate, dbus-fast / C service": (2.5, False),
    "lane, a refusal / granted": (1.0, False),
    "bus, a refusal / granted": (1.0, False),
    "reconcile of 10000 live buffers / reading fdinfo alone": (2.0, False),
    "Allocate with 10000 live buffers / with 10": (1.2, False),
    "ms: longest step of the loop under floods": (10.0, False),
    "exec to READY / bare asyncio and dbus-next": (1.2, False),
    "memctl status / busctl call": (6.0, False),
}


def page(text: str) -> str:
    """`text` of docs/bench.md with its tables as the figures are now."""
    text = _between(text, "bench.json", host(json.loads((DOCS / "bench.json").read_text())))
    machine = DOCS / "bench-vm.json"
    return _between(text, "bench-vm.json", vm(json.loads(machine.read_text()))) if machine.exists() else text


def _between(text: str, name: str, lines: list[str]) -> str:
    begin = BEGIN.format(name)
    head, rest = text.split(begin)
    return head + begin + "\n".join(["", *lines, ""]) + "\n" + END + rest.split(END, 1)[1]


def host(found: dict[str, Any]) -> list[str]:
    figures: dict[str, list[float]] = found["figures"]
    ordered = [name for name in REACH if name in figures] + [name for name in figures if name not in REACH]
    load = ", ".join(f"{one:g}" for one in found["load"])
    return [
        f"{found['date']}: {found['machine']}; load {load} at the end, {found['rounds']} rounds.",
        "",
        "| what | to reach | measured | |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_goal(name)} | {_spread(figures[name])} | {_verdict(name, figures[name][0])} |"
            for name in ordered
        ),
    ]


def _goal(name: str) -> str:
    if name not in REACH:
        return ""
    most, more = REACH[name]
    return f"{'at least' if more else 'at most'} {most:g}"


def _verdict(name: str, value: float) -> str:
    if name not in REACH:
        return ""
    most, more = REACH[name]
    return "reached" if (value >= most if more else value <= most) else "**not**"


def _spread(values: list[float]) -> str:
    middle, low, high = values
    return f"{middle:.3g} ({low:.3g} to {high:.3g})" if low != high else f"{middle:.3g}"


def vm(found: dict[str, Any]) -> list[str]:
    sys.path.append(str(DOCS.parent / "tests/vm"))
    import benchtable

    return [f"{found['date']}:", "", *benchtable.page()]
