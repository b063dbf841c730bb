"""memctl monitor: what memd tells, as it happens; on a terminal with a rolling picture above it.

In a pipe, and with --json, memd is asked nothing: a line comes with each event. The picture asks for a status every --interval.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from memd.cli import common, exits
from memd.cli.render import Look, safe, shorten
from memd.cli.spark import spark
from memd.cli.status import LEVEL_COLOURS
from memd.units import format_size

if TYPE_CHECKING:
    from memd.client import Memd
    from memd.client.types import Status

KEPT = 240  # samples of a picture
LINES = 10  # events below it
LABEL = 16
WORDS = 18
CLEAR = "\x1b[H\x1b[J"


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "monitor",
        help="follow what memd tells: pressure, units, CMA; with a rolling picture on a terminal",
        example="memctl monitor --interval 5s",
    )
    parser.add_argument(
        "--interval", metavar="TIME", type=_interval, default=2.0, help="how often the picture is renewed (2s)"
    )


def _interval(text: str) -> float:
    seconds = common.seconds(text)
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; write a time from 200ms to 1h")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    drawn = sys.stdout.isatty() and not arguments.json
    with common.connect(arguments) as memd:
        if drawn:
            _draw(memd, arguments.interval)
        for event in memd.events():
            if event:
                _print(arguments, *event)
    return exits.FINE


def _print(arguments: argparse.Namespace, name: str, facts: dict[str, Any]) -> None:
    now = time.time()
    if arguments.json:
        common.print_json({"event": name, "time": now, **facts}, line=True)
    else:
        print(line(name, facts, now, common.look()))
    sys.stdout.flush()


def _draw(memd: Memd, interval: float) -> None:
    picture, seen = Picture(), deque[str](maxlen=LINES)
    for event in memd.events(interval):
        look = common.look()
        if event:
            seen.append(line(*event, time.time(), look))
        picture.take(memd.status())
        sys.stdout.write(CLEAR + picture.text(look) + "".join(f"{text}\n" for text in seen))
        sys.stdout.flush()


class Picture:
    """The last samples of what can be drawn: (label, value now in words, values, what a full block stands for)."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[deque[float | None], str, float | None]] = {}
        self._level = "none"

    def take(self, status: Status) -> None:
        self._level = status["pressure"].get("level", "none")
        taken = {label: (value, words, top) for label, value, words, top in samples(status)}
        for label in {**self._rows, **taken}:
            value, words, top = taken.get(label, (None, "", None))
            values = self._rows[label][0] if label in self._rows else deque[float | None](maxlen=KEPT)
            values.append(value)
            self._rows[label] = values, words, top

    def text(self, look: Look) -> str:
        width = max((look.width or 80) - LABEL - WORDS - 4, 10)
        head = f"memory pressure is {look.paint(safe(self._level), LEVEL_COLOURS.get(self._level, ''))}\n"
        rows = [
            f"{shorten(safe(label), LABEL, look):{LABEL}}  {spark(tuple(values), width, unicode=look.unicode, top=top)}"
            f"  {words}".rstrip()
            + "\n"
            for label, (values, words, top) in self._rows.items()
        ]
        return head + "".join(rows)


def samples(status: Status) -> list[tuple[str, float, str, float | None]]:
    pressure, memory = status["pressure"], status["memory"]
    found: list[tuple[str, float, str, float | None]] = []
    for kind in ("some", "full"):
        stalled = pressure.get(f"{kind}_avg10")
        if isinstance(stalled, float):
            found.append((f"stalled, {kind}", stalled, f"{stalled:.1f}% of 10 s", 100.0))
    used = memory["total"] - memory["available"]
    found.append(("RAM used", used, f"{format_size(used)} of {format_size(memory['total'])}", memory["total"]))
    fill = status["swap_fill"]
    if fill["size"]:
        found.append(
            ("swap filled", fill["fraction"], f"{fill['fraction']:.0%}, {format_size(fill['cost'])} RAM", 1.0)
        )
    for area in status["cma"]:
        if "size" in area and "available" in area:
            held = area["size"] - area["available"]
            found.append(
                (f"CMA {area['name']}", held, f"{format_size(held)} of {format_size(area['size'])}", area["size"])
            )
    lent = sum(heap["lent_bytes"] for heap in status["heaps"])
    found.append(("lent", lent, format_size(lent), None))
    return found


def line(name: str, facts: dict[str, Any], now: float, look: Look) -> str:
    """`2025-11-22T23:45:01+0100  pressure is medium, was low`"""
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
    return f"{when}  {_words(name, facts, look)}"


def _words(name: str, facts: dict[str, Any], look: Look) -> str:
    told = {key: safe(value) for key, value in facts.items()}
    level = told.get("level", "")
    painted = look.paint(level, LEVEL_COLOURS.get(level, ""))
    if name == "PressureChanged":
        return f"pressure is {painted}, was {told.get('previous', '?')}"
    if name == "UnitPressureChanged":
        return f"pressure of {told.get('unit', '?')} is {painted}, was {told.get('previous', '?')}"
    if name == "CmaStateChanged":
        return f"CMA area {told.get('region', '?')} is {told.get('state', '?').replace('-', ' ')}"
    size = facts.get("size")
    whose = f", asked for by {told['comm']} (process {told.get('pid', '?')})" if "comm" in told else ""
    return f"CMA area {told.get('region', '?')} had no room for {format_size(size) if isinstance(size, int) else '?'}{whose}"
