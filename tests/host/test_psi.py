"""Triggers of this machine's kernel, with and without the capability, and a watch that sees a real stall come and go."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.kernel import psi
from memd.kernel.epoll import Urgent
from memd.kernel.root import Root
from memd.model import Event, Level, PressureSettings, Trigger
from memd.names import MESSAGE_PRESSURE
from memd.policy import pressure
from memd.service.watch import Watch
from tests.host.stall import CannotStall, Stall

CAP_SYS_RESOURCE = 24
SETTINGS = PressureSettings(pressure.DEFAULT_TRIGGERS, pressure.DEFAULT_RELIEF)
TREE = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/pressure/memory"), reason="this kernel has no PSI (CONFIG_PSI, psi=1)"
)

UNPRIVILEGED = """
import asyncio, os
from memd.kernel.root import Root
from memd.model import PressureSettings
from memd.policy import pressure
from memd.service.watch import Watch

async def main():
    watch = Watch(Root(), PressureSettings(pressure.DEFAULT_TRIGGERS, pressure.DEFAULT_RELIEF), print, print)
    await watch.start()
    print(watch.mode, *watch.missing, sep="\\n")
    await watch.stop()

if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
asyncio.run(main())
"""


def may_use_short_windows() -> bool:
    with open("/proc/self/status") as status:
        (capabilities,) = [int(line.split()[1], 16) for line in status if line.startswith("CapEff:")]
    return bool(capabilities >> CAP_SYS_RESOURCE & 1)


def test_read() -> None:
    now = psi.read(Root())

    assert now is not None
    assert now.full is not None
    assert 0 <= now.full.avg10 <= 100
    assert now.some.total >= now.full.total >= 0


def test_a_trigger_of_two_seconds_is_for_everybody() -> None:
    Urgent(psi.open_trigger(Root(), Trigger("some", 0.2, 2.0, Level.LOW))).close()


def test_a_trigger_of_one_second_wants_the_capability() -> None:
    """What really happens here, with or without: a root in a container may lack it too."""
    trigger = Trigger("some", 0.1, 1.0, Level.LOW)
    if may_use_short_windows():
        Urgent(psi.open_trigger(Root(), trigger)).close()
        return
    with pytest.raises(OSError) as caught:  # noqa: PT011  which one depends on the kernel's age
        psi.open_trigger(Root(), trigger)
    assert caught.value.filename == "/proc/pressure/memory"


@pytest.mark.parametrize(
    "trigger",
    [
        Trigger("some", 0.0, 2.0, Level.LOW),
        Trigger("some", 2.5, 2.0, Level.LOW),
        Trigger("some", 1.0, 12.0, Level.LOW),
        Trigger("none", 1.0, 2.0, Level.LOW),
    ],
)
def test_what_the_kernel_refuses(trigger: Trigger) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        psi.open_trigger(Root(), trigger)


def test_without_the_capability_the_watch_takes_two_seconds() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(TREE)},
        check=True,
    )

    mode, *missing = done.stdout.splitlines()
    assert mode.startswith("kernel triggers over 2 s: low some 200ms, medium some 500ms, critical full 200ms")
    assert any("no CAP_SYS_RESOURCE" in line for line in missing)


def scheduled() -> int:
    timers: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not timer.cancelled() for timer in timers)


class Log:
    """What the watch said, and waiting for it."""

    def __init__(self) -> None:
        self.levels: list[Level] = [Level.NONE]
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def changed(self, level: Level, facts: dict[str, object]) -> None:
        self.levels.append(level)
        self._more.set()

    async def until(self, condition: Callable[[Level], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition(self.levels[-1]):
                self._more.clear()
                await self._more.wait()


async def test_a_real_stall_raises_the_level_and_its_end_gives_it_back() -> None:
    log = Log()
    watch = Watch(Root(), SETTINGS, log.events.append, log.changed)
    await watch.start()
    assert scheduled() == 0
    try:
        with Stall(seconds=30):
            await log.until(lambda level: level >= Level.MEDIUM)
        await log.until(lambda level: level is Level.NONE)
        assert scheduled() == 0
    except CannotStall as error:
        pytest.skip(f"no stall can be provoked here: {error}")
    finally:
        await watch.stop()

    for before, after, event in zip(log.levels[:-1], log.levels[1:], log.events, strict=True):
        assert event.message_id == MESSAGE_PRESSURE
        assert (event.fields["MEMD_PREVIOUS"], event.fields["MEMD_LEVEL"]) == (str(before), str(after))
        assert (event.priority == 6) == (after < before)
        assert after is not before
