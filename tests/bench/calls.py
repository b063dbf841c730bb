"""What a call costs, on the simulated heap, against a C service that does nothing but answer. All take turns in each round.

A run's figure is the median of its calls; `undisturbed` is their 10th percentile, which says more where other work has the CPUs.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from tests.bench import tools
from tests.bench.tools import Ratio
from tests.bus.daemon import call

PAGE = 4096
COUNT = 400


def measure(directory: Path, rounds: int) -> dict[str, Ratio]:
    """Name of the figure -> ratio."""
    found: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        nexts = stack.enter_context(tools.memd(directory))
        fasts = stack.enter_context(tools.memd(directory, "dbus_fast"))
        stack.enter_context(tools.floor(directory, nexts.address))
        lane = stack.enter_context(tools.lane(nexts))
        for number in range(rounds):
            tools.say(f"calls: round {number + 1} of {rounds}")
            _round(directory, found, nexts.address, fasts.address, lane)
    quiet = {
        f"{name} / C service, undisturbed": tools.ratio(found[f"{name}, undisturbed"], found["floor, undisturbed"])
        for name in ("lane", "bus", "fast")
    }
    return (
        quiet
        | {
            "lane Allocate 4 KiB / C service on sd-bus": tools.ratio(found["lane"], found["floor"]),
            "lane, 16 in flight, calls a second / C service": tools.ratio(found["floor 16"], found["lane 16"]),
            "bus Allocate, dbus-next / C service": tools.ratio(found["bus"], found["floor"]),
            "bus Allocate, dbus-fast / C service": tools.ratio(found["fast"], found["floor"]),
            "lane, a refusal / granted": tools.ratio(found["lane refused"], found["lane"]),
            "bus, a refusal / granted": tools.ratio(found["bus refused"], found["bus"]),
        }
        | {f"µs: {name}": Ratio(*_spread(values)) for name, values in found.items()}
    )


def _spread(values: list[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]


def _round(directory: Path, found: dict[str, list[float]], nexts: str, fasts: str, lane: int) -> None:
    def run(name: str, *words: object, each: bool = False) -> None:
        times = tools.client(directory, *words, fds=(lane,))
        found[name].append(times.each if each else times.median)
        if not each:
            found[f"{name}, undisturbed"].append(times.low)

    run("floor", "bus", nexts, tools.FLOOR, "simulated", PAGE, COUNT)
    run("lane", "lane", lane, "simulated", PAGE, COUNT, 1)
    run("lane refused", "lane", lane, "simulated", 1 << 50, COUNT, 1)
    run("bus", "bus", nexts, "org.memd1", "simulated", PAGE, COUNT)
    run("bus refused", "bus", nexts, "org.memd1", "simulated", 1 << 50, COUNT)
    run("fast", "bus", fasts, "org.memd1", "simulated", PAGE, COUNT)
    run("floor 16", "flood", nexts, tools.FLOOR, "simulated", PAGE, COUNT, each=True)
    run("lane 16", "lane", lane, "simulated", PAGE, COUNT, 16, each=True)


def growth(directory: Path, rounds: int, sizes: tuple[int, ...]) -> dict[int, float]:
    """Live buffers -> µs of one Allocate over the lane. Held by one process, so as many fds as that may have."""
    found = {}
    with tools.memd(directory) as daemon, daemon.client() as holder, tools.lane(daemon) as lane:
        held: list[int] = []
        for size in sizes:
            while len(held) < size:
                reply = call(holder, "AllocateMany", "sata{sv}", "simulated", [PAGE] * min(16, size - len(held)), {})
                held += reply.fds
            tools.say(f"growth: {size} live buffers")
            found[size] = min(
                tools.client(directory, "lane", lane, "simulated", PAGE, COUNT, 1, fds=(lane,)).median
                for _ in range(rounds)
            )
        for fd in held:
            os.close(fd)
    return found
