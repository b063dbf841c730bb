"""Cost as more is there: connections to the bus, processes, owners. Each point is one Allocate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from memd.early import ZramSettings
from memd.kernel.root import Root
from memd.model import Bounds, Caller, Config, Level, PressureSettings, Rule
from memd.service.broker import Broker
from memd.service.heaps import Heaps
from tests.bench import calls, tools
from tests.bus.daemon import call

MANY = tools.POLICY + "".join(
    f'<limit name="{name}">20000</limit>' for name in ("max_connections_per_user", "max_completed_connections")
)
CONNECTIONS = (1, 10, 100, 1000)
PROCESSES = (1, 10, 100, 1000)
OWNERS = (1, 10, 100, 1000, 10_000)


def measure(directory: Path, rounds: int) -> dict[str, dict[int, float]]:
    """What grows -> how many -> µs."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    return {
        "connections": _connections(directory, rounds),
        "processes": _processes(directory, rounds),
        "owners": asyncio.run(_owners(directory / "owners")),
    }


def _connections(directory: Path, rounds: int) -> dict[int, float]:
    """Each has asked memd something, and stays."""
    found = {}
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(tools.memd(directory, policy=MANY))
        lane = stack.enter_context(tools.lane(daemon))
        there = 0
        for size in CONNECTIONS:
            tools.say(f"growth: {size} connections")
            for _ in range(size - there):
                call(stack.enter_context(daemon.client()), "CanAllocate", "sta{sv}", "simulated", 4096, {}).close()
            there = size
            found[size] = _cost(directory, lane, rounds)
    return found


def _processes(directory: Path, rounds: int) -> dict[int, float]:
    """Asleep, each."""
    found = {}
    with tools.memd(directory) as daemon, tools.lane(daemon) as lane:
        for size in PROCESSES:
            tools.say(f"growth: {size} processes")
            with _asleep(size):
                found[size] = _cost(directory, lane, rounds)
    return found


async def _owners(place: Path) -> dict[int, float]:
    """Each has borrowed once and given it back. In this process: a bus turns away users whom the machine does not know."""
    (place / "proc").mkdir(parents=True)
    (place / "proc/meminfo").write_text("MemTotal: 9999999 kB\nMemFree: 9 kB\nMemAvailable: 9999999 kB\n")
    rule = Rule("all", everyone=True, heaps=frozenset({"simulated"}))
    bounds = Bounds(1 << 30, 1 << 40, 100_000, 100_000, 1 << 20)
    config = Config((ZramSettings(),), (rule,), bounds, PressureSettings((), 4.0), ())
    root, found, there = Root(str(place)), {}, 0
    broker = Broker(root, config, Heaps(root, True, {}, ()), lambda _event: None, lambda: Level.NONE)
    for size in OWNERS:
        tools.say(f"growth: {size} owners")
        for number in range(there, size):
            await _lend(broker, Caller(f":1.{number}", number, frozenset(), 1, f"uid:{number}"))
        there = size
        found[size] = await _median(broker, Caller(":1.0", 0, frozenset(), 1, "uid:0"))
    await broker.close()
    return found


async def _lend(broker: Broker, caller: Caller) -> None:
    grants = broker.counter.lend(caller, "simulated", (calls.PAGE,))
    for grant in grants or await broker.allocate(caller, "simulated", [calls.PAGE]):
        os.close(grant.fd)


async def _median(broker: Broker, caller: Caller) -> float:
    taken = []
    for _ in range(calls.COUNT):
        began = time.perf_counter()
        await _lend(broker, caller)
        taken.append((time.perf_counter() - began) * 1e6)
    return statistics.median(taken)


@contextlib.contextmanager
def _asleep(count: int) -> Iterator[None]:
    processes = [subprocess.Popen(["sleep", "600"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _cost(directory: Path, lane: int, rounds: int) -> float:
    times = (
        tools.client(directory, "lane", lane, "simulated", calls.PAGE, calls.COUNT, 1, fds=(lane,))
        for _ in range(rounds)
    )
    return min(one.median for one in times)
