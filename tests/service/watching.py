"""A watch over a machine in a directory; TCP's urgent data stands for the kernel's triggers (both are EPOLLPRI)."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memd.early import replace
from memd.kernel import psi
from memd.kernel.root import Root
from memd.model import Event, Level, PressureSettings, Trigger
from memd.policy import pressure

Put = Callable[[str, str | bytes], None]
NONE, LOW, MEDIUM, CRITICAL = Level
SETTINGS = PressureSettings(pressure.DEFAULT_TRIGGERS, pressure.DEFAULT_RELIEF)
QUICK = replace(SETTINGS, relief=0.01)
MEMINFO = """MemTotal: 1000000 kB
MemFree: 100000 kB
MemAvailable: {available} kB
SwapTotal: 400000 kB
SwapFree: 300000 kB
CmaTotal: 65536 kB
CmaFree: 32768 kB
"""
PSI = """some avg10=12.50 avg60=5.60 avg300=0.00 total=1500000
full avg10=1.25 avg60=0.50 avg300=0.00 total=250000
"""
SWAPS = "Filename Type Size Used Priority\n/dev/zram0 partition 400000 100000 100\n"
ZRAM = {
    "initstate": "1",
    "comp_algorithm": "lzo [lz4]",
    "disksize": "409600000",
    "mm_stat": "102400000 30000000 25600000 0 0 0 0 0 0",
}


class Machine(Root):
    """A directory that counts as the machine itself, so that triggers are opened (by the fake kernel below)."""

    is_machine = True


class Kernel:
    """Hands out trigger fds and speaks through them. `refuse`: errno of a trigger that needs a capability (windows not of 2 s)."""

    def __init__(self) -> None:
        self.opened: list[Trigger] = []
        self.files: list[str] = []
        self.refuse: int | None = None
        self.absent: int | None = None
        self._ends: dict[Level, tuple[socket.socket, socket.socket]] = {}

    def open_trigger(self, root: Root, trigger: Trigger, name: str = psi.NAME) -> int:
        if self.absent or (self.refuse and trigger.window % 2):
            raise OSError(self.absent or self.refuse, "no", root.path(name))
        with socket.create_server(("127.0.0.1", 0)) as server:
            sender = socket.create_connection(server.getsockname())
            receiver, _ = server.accept()
        self.opened.append(trigger)
        self.files.append(name)
        self.close(trigger.level)
        self._ends[trigger.level] = sender, receiver
        return os.dup(receiver.fileno())

    def speak(self, level: Level) -> None:
        sender, _ = self._ends[level]
        sender.send(b"!", socket.MSG_OOB)

    def give_up(self, level: Level) -> None:
        sender, receiver = self._ends.pop(level)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender.close()
        receiver.close()

    def close(self, level: Level) -> None:
        for end in self._ends.pop(level, ()):
            end.close()


class Listener:
    """Collects what the watch says, and waits for it."""

    def __init__(self) -> None:
        self.changes: list[tuple[Level, dict[str, object]]] = []
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def changed(self, level: Level, facts: dict[str, object]) -> None:
        self.changes.append((level, facts))

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    @property
    def levels(self) -> list[Level]:
        return [level for level, _ in self.changes]

    async def until(self, count: int) -> None:
        while len(self.events) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 10)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    kernel = Kernel()
    monkeypatch.setattr(psi, "open_trigger", kernel.open_trigger)
    yield kernel
    for level in Level:
        kernel.close(level)


@pytest.fixture
def machine(tmp_path: Path, put: Put) -> Machine:
    put("proc/meminfo", MEMINFO.format(available=500000))
    put("proc/pressure/memory", PSI)
    put("proc/swaps", SWAPS)
    put("proc/vmstat", "workingset_refault_anon 0\nworkingset_refault_file 0\n")
    put("sys/kernel/mm/cma/reserved/alloc_pages_success", "0\n")
    for name, text in ZRAM.items():
        put(f"sys/block/zram0/{name}", text + "\n")
    return Machine(str(tmp_path))


@pytest.fixture
def listener() -> Listener:
    return Listener()


def timers() -> int:
    """What the loop has scheduled and not cancelled: what would wake it up."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not handle.cancelled() for handle in scheduled)


async def settle() -> None:
    """Until TCP on the loopback has delivered and the loop has heard."""
    for _ in range(20):
        await asyncio.sleep(0.005)
