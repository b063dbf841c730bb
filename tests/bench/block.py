"""How long memd's loop is held up under floods, measured inside the daemon: each step of the loop is timed there, by the CPU time of its
thread, since a machine that is not quiet stops everybody. The longest one leaves by a file when memd ends."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench import hostile, tools
from tests.bench.tools import Ratio
from tests.bus.daemon import call

SECONDS = 3.0
INSIDE = """
import asyncio, asyncio.events, atexit, os, time
run, steps = asyncio.events.Handle._run, [0.0]
def timed(handle):
    began = time.thread_time()
    run(handle)
    steps[0] = max(steps[0], time.thread_time() - began) if counting else 0.0
counting = False
def begin(*_):
    global counting
    counting = True
import signal
signal.signal(signal.SIGUSR2, begin)
asyncio.events.Handle._run = timed
atexit.register(lambda: open(os.environ["STEPS"], "w").write(str(steps[0] * 1e3)))
"""


def measure(directory: Path) -> dict[str, Ratio]:
    """ms of the longest step beside each greedy client of hostile.py, with a thousand buffers alive and all listings asked for."""
    return {"ms: longest step of the loop under floods": spread([_once(directory, what) for what in hostile.GREEDY])}


def spread(values: list[float]) -> Ratio:
    """The worst counts."""
    return Ratio(max(values), min(values), max(values))


def _once(directory: Path, what: str) -> float:
    tools.say(f"the loop beside a client {what}")
    steps = directory / "steps"
    extra = "[Allow greedy]\nEveryone=yes\nHeaps=simulated\nMaxBuffers=100\nExemptFromPressure=yes\n"
    with tools.memd(directory, extra=extra, first=INSIDE, STEPS=str(steps)) as daemon, daemon.client() as client:
        held = [call(client, "AllocateMany", "sata{sv}", "simulated", [4096] * 16, {}) for _ in range(60)]
        with hostile.neighbour(what, daemon.address):
            daemon.process.send_signal(12)
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends:
                call(client, "ListBuffers", "a{sv}", {}).close()
                call(client, "GetStatus", "a{sv}", {}).close()
        for reply in held:
            reply.close()
    return float(steps.read_text())
