"""What others do to a caller's latency: Allocate and close, alone and beside each kind of greedy client, in turn in one run.

What counts is the ratio: the machine is not quiet, and both take turns on it. The greedy client is stopped (SIGSTOP) for every other round.
Then: how long a page of 1,000 of 10,000 buffers holds memd's loop up. Needs neither root nor a heap. `python -m tests.bench.hostile`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from memd.bus import listing
from memd.early import ZramSettings
from memd.kernel.root import Root
from memd.model import Bounds, Caller, Config, Level, PressureSettings, Rule
from memd.service.broker import Broker
from memd.service.heaps import Heaps
from tests.bus.buses import BUSES
from tests.bus.daemon import Daemon, call, running, target
from tests.bus.hoarder import become_nobody
from tests.bus.raw import NO_REPLY, Raw
from tests.swapsettings import KEEP

TREE = Path(__file__).resolve().parent.parent.parent
ROUNDS, CALLS = 8, 30
BUFFERS = 10_000
CONFIG = f"""
[Zram]
Enabled=no
{KEEP}[Allow tests]
Everyone=yes
Heaps=simulated
MaxBuffers=100
ExemptFromPressure=yes
Priority=1
"""
GREEDY = ("at his cap", "with 1,000 calls/s unread", "with 1,000 calls/s, no reply", "on 40 connections")


def greedy(what: str, address: str) -> None:
    """Another user, if this one is root. Never ends."""
    become_nobody()
    clients = [Raw.connect(address) for _ in range(40 if what == "on 40 connections" else 1)]
    destination, path, interface, member = target("Allocate")
    if what == "at his cap":
        held = [call(clients[0], "Allocate", "sta{sv}", "simulated", 4096, {}) for _ in range(90)]
        assert len(held) == 90
    flags = NO_REPLY if what.endswith("no reply") else 0
    while True:
        for client in clients:
            # At his cap: more than there is room for, so that it is refused after a look at what is alive.
            body = ["simulated", [4096] * 16, {}] if what == "at his cap" else ["simulated", 4096, {}]
            _, data = client.message(
                destination=destination, path=path, interface=interface,
                member="AllocateMany" if what == "at his cap" else member,
                signature="sata{sv}" if what == "at his cap" else "sta{sv}", body=body, flags=flags,
            )  # fmt: skip
            client.send(data)
        if "calls/s" in what:
            time.sleep(0.001)
            continue
        for client in clients:
            for reply in client.replies(1):
                reply.close()


def calls(client: Raw) -> list[float]:
    """Microseconds of each."""
    found = []
    for _ in range(CALLS):
        began = time.perf_counter()
        reply = call(client, "Allocate", "sta{sv}", "simulated", 4096, {})
        found.append((time.perf_counter() - began) * 1e6)
        reply.close()
    return found


@contextlib.contextmanager
def neighbour(what: str, address: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.hostile", what, address], cwd=TREE, stderr=subprocess.DEVNULL
    )
    time.sleep(1.5)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def beside(what: str, memd: Daemon) -> tuple[list[float], list[float]]:
    alone, crowded = [], []
    with memd.client() as client, neighbour(what, memd.address) as other:
        for _ in range(ROUNDS):
            other.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            alone += calls(client)
            other.send_signal(signal.SIGCONT)
            time.sleep(0.05)
            crowded += calls(client)
    return alone, crowded


def opened(place: str) -> Path:
    os.chmod(place, 0o755)
    return Path(place)


def latency(kind: str) -> None:
    for what in GREEDY:
        with (
            tempfile.TemporaryDirectory() as place,
            BUSES[kind](opened(place)) as bus,
            running(bus.address, Path(place), config=CONFIG) as memd,
        ):
            alone, crowded = beside(what, memd)
        low, high = statistics.median(alone), statistics.median(crowded)
        tail = statistics.quantiles(crowded, n=20)[-1] / statistics.quantiles(alone, n=20)[-1]
        print(
            f"dbus-{kind:7} beside a client {what:29} {low:7.0f} us -> {high:7.0f} us   x{high / low:.2f} (95%: x{tail:.2f})"
        )


async def page() -> None:
    """The longest step of the loop while all pages are listed; in CPU time of its thread, since the machine is not quiet."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, BUFFERS + 500), hard))
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "proc").mkdir()
        (Path(place) / "proc/meminfo").write_text("MemTotal: 9999999 kB\nMemFree: 9 kB\nMemAvailable: 9999999 kB\n")
        rule = Rule("all", everyone=True, heaps=frozenset({"simulated"}))
        bounds = Bounds(1 << 30, 1 << 40, BUFFERS + 1, BUFFERS + 1, 1 << 20)
        config = Config((ZramSettings(),), (rule,), bounds, PressureSettings((), 4.0), ())
        root = Root(place)
        broker = Broker(root, config, Heaps(root, True, {}, ()), lambda _event: None, lambda: Level.NONE)
        owner = Caller(":1.1", 1000, frozenset(), 1, "uid:1000")
        grants = [
            grant for _ in range(BUFFERS // 10) for grant in await broker.allocate(owner, "simulated", [4096] * 10)
        ]
        admin = Caller(":1.2", 0, frozenset(), 1, "uid:0")
        longest, ended = [0.0], asyncio.Event()

        async def heartbeat() -> None:
            while not ended.is_set():
                began = time.thread_time()
                await asyncio.sleep(0)
                longest[0] = max(longest[0], time.thread_time() - began)

        beat = asyncio.create_task(heartbeat())
        following: int | None = 0
        steps: list[float] = []
        while following is not None:
            rows, following = await broker.buffers(admin, after=following)
            await asyncio.sleep(0)
            began = time.thread_time()
            listing.body(rows, following)
            steps.append(time.thread_time() - began)
        ended.set()
        await beat
        print(f"{len(steps)} pages of {len(grants)} buffers: bytes of a page {max(steps) * 1e3:.1f} ms at most, "
              f"the longest step of the loop {longest[0] * 1e3:.1f} ms")  # fmt: skip
        for grant in grants:
            os.close(grant.fd)
        await broker.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        greedy(sys.argv[1], sys.argv[2])
    for bus_kind in sorted(BUSES):
        latency(bus_kind)
    asyncio.run(page())
