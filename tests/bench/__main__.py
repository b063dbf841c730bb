"""`make bench`: every figure of docs/bench.md that needs no virtual machine, side by side in one run, beside the figures that stand there.

    python -m tests.bench [--rounds N] [--save]

Ratios are of two things that took turns, so that a machine that is not quiet disturbs both. A figure that is worse than the committed one
by more than the spread of both is shown as such, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import block, calls, growth, ledger, page, plot, start, tools
from tests.bench.page import REACH
from tests.bench.tools import Ratio

COMMITTED = tools.REPOSITORY / "docs/bench.json"
PLOTS = tools.REPOSITORY / "docs"
SIZES = (1, 10, 100, 1000, 10_000)
Growth = dict[str, dict[int, float]]  # what grows -> how many there are -> µs of an Allocate over the lane


def measure(rounds: int) -> tuple[dict[str, Ratio], Growth]:
    with tempfile.TemporaryDirectory(prefix="memd-bench-") as place:
        directory = Path(place)
        tools.build(directory)
        figures = calls.measure(directory, rounds)
        live = calls.growth(directory, 5, SIZES)
        grows: Growth = {"live buffers": live, **growth.measure(directory, 5)}
        figures |= block.measure(directory)
    grown = live[10_000] / live[10]
    figures["Allocate with 10000 live buffers / with 10"] = Ratio(grown, grown, grown)
    figures |= start.ready(max(rounds // 2, 3)) | start.status(rounds) | ledger.reconcile()
    return figures, grows


def worse(name: str, now: Ratio, before: Ratio) -> bool:
    """Beyond the noise: the quarters of both do not touch, and it is more than a tenth."""
    if REACH.get(name, (0, False))[1]:
        return now.high < before.low and now.middle < before.middle * 0.9
    return now.low > before.high and now.middle > before.middle * 1.1


def committed() -> dict[str, Ratio]:
    if not COMMITTED.exists():
        return {}
    return {name: Ratio(*values) for name, values in json.loads(COMMITTED.read_text())["figures"].items()}


def table(figures: dict[str, Ratio], before: dict[str, Ratio]) -> list[str]:
    lines = [f"{'':50} {'now':>22} {'committed':>22} {'reach':>7}"]
    for name, now in figures.items():
        reach, more = REACH.get(name, (None, False))
        goal = "" if reach is None else f"{'>=' if more else '<='} {reach:g}"
        regressed = name in before and worse(name, now, before[name])
        lines.append(f"{name:50} {now!s:>22} {before.get(name, '-')!s:>22} {goal:>7}{'  WORSE' if regressed else ''}")
    return lines


def rooms() -> list[str]:
    found = start.imports()
    return [
        "what a start imports, by room:",
        *(f"  {room:20} {ms:7.1f} ms {count:4} modules" for room, (ms, count) in found.items()),
    ]


def save(figures: dict[str, Ratio], grows: Growth, rounds: int) -> None:
    load = os.getloadavg()
    machine = (
        f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    )
    facts = {"machine": machine, "load": [round(one, 1) for one in load], "rounds": rounds}
    rounded = {name: [round(value, 3) for value in (one.middle, one.low, one.high)] for name, one in figures.items()}
    COMMITTED.write_text(
        json.dumps({**facts, "date": time.strftime("%Y-%m-%d"), "figures": rounded, "growth": grows}, indent=1) + "\n"
    )
    for what, points in grows.items():
        name = f"bench-{what.replace(' ', '-')}.svg"
        (PLOTS / name).write_text(plot.svg("One Allocate over the lane", what, "µs", points))
    told = PLOTS / "bench.md"
    told.write_text(page.page(told.read_text()))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measure memd against its figures in docs/bench.md."
    )
    parser.add_argument("--rounds", type=int, default=15, help="turns that each takes (15)")
    parser.add_argument(
        "--save",
        action="store_true",
        help="write docs/bench.json, the plots, and the table of docs/bench.md",
    )
    arguments = parser.parse_args()
    before = committed()
    figures, grows = measure(arguments.rounds)
    tools.say("")
    print(
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs, {arguments.rounds} rounds; median (quarter to three quarters)"
    )
    print("\n".join(table(figures, before)))
    for what, points in grows.items():
        print(f"{what}, µs an Allocate: " + ", ".join(f"{size}: {cost:.1f}" for size, cost in points.items()))
    print("\n".join(rooms()))
    if arguments.save:
        save(figures, grows, arguments.rounds)
    return int(any(name in before and worse(name, now, before[name]) for name, now in figures.items()))


if __name__ == "__main__":
    sys.exit(main())
