"""The watch's judgement beside stalls: what is left, pages that come back, the hold time; and what the kernel's files do meanwhile."""

from __future__ import annotations

import asyncio
import time

import pytest

from memd.early import replace
from memd.kernel import meminfo
from memd.model import Level
from memd.policy.pressure import PUT_OFF_MOST
from memd.service.watch import Watch
from tests.service.watching import MEMINFO, QUICK, SETTINGS, SWAPS, Kernel, Listener, Machine, Put, settle, timers

NONE, LOW, MEDIUM, CRITICAL = Level


async def test_a_stall_with_nothing_left_is_critical(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
    put: Put,
) -> None:
    put("proc/meminfo", MEMINFO.format(available=30000))
    put("proc/swaps", SWAPS.replace("100000", "395000"))
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    kernel.speak(LOW)
    await listener.until(2)
    await watch.stop()

    assert listener.levels == [LOW, CRITICAL]


async def test_zram_that_cannot_hold_more_counts_as_full(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
    put: Put,
) -> None:
    """By its size half of the swap is free; what RAM is left can hold next to nothing of it."""
    put("proc/meminfo", MEMINFO.format(available=9000))
    put("proc/swaps", SWAPS.replace("100000", "200000"))
    put("sys/block/zram0/mm_stat", "204800000 160000000 180000000 0 0 0 0 0 0\n")
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    kernel.speak(LOW)
    await listener.until(2)
    await watch.stop()

    assert listener.levels[-1] is CRITICAL


async def test_nothing_left_without_a_stall_is_no_pressure(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
    put: Put,
) -> None:
    put("proc/meminfo", MEMINFO.format(available=1))
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    await settle()
    await watch.stop()

    assert listener.levels == []


async def test_the_hold_time_makes_one_rise_of_many(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
) -> None:
    watch = Watch(machine, replace(SETTINGS, hold=0.3), listener.tell, listener.changed)
    await watch.start()
    begun = time.monotonic()
    for level in (LOW, MEDIUM, CRITICAL):
        kernel.speak(level)
        await asyncio.sleep(0.01)
    await listener.until(2)
    took = time.monotonic() - begun
    await watch.stop()

    assert listener.levels == [LOW, CRITICAL]
    assert took >= 0.3


class Counter:
    """A refault counter that goes on at each look, or back."""

    def __init__(self, put: Put, step: int) -> None:
        self.put, self.step, self.pages, self.looks = put, step, 1 << 30, 0

    def go(self, *_: object) -> None:
        self.looks += 1
        self.pages += self.step
        self.put("proc/vmstat", f"workingset_refault_anon {self.pages}\nworkingset_refault_file 0\n")


@pytest.mark.parametrize(("step", "looks"), [(1 << 20, 1 + PUT_OFF_MOST + 1), (0, 2), (-(1 << 20), 2)])
async def test_relief_waits_while_pages_come_back_and_not_for_ever(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    looks: int,
) -> None:
    counter = Counter(put, step)
    watch = Watch(machine, QUICK, listener.tell, listener.changed)
    look = watch._look

    def counted() -> object:
        counter.go()
        return look()

    monkeypatch.setattr(watch, "_look", counted)
    await watch.start()
    kernel.speak(LOW)
    await listener.until(2)
    await watch.stop()

    assert listener.levels == [LOW, NONE]
    assert counter.looks == looks


@pytest.mark.parametrize("text", ["nonsense", "workingset_refault_anon -1\n"])
async def test_garbage_puts_nothing_off(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
    put: Put,
    text: str,
) -> None:
    put("proc/vmstat", text)
    watch = Watch(machine, QUICK, listener.tell, listener.changed)
    await watch.start()
    assert "refaults can't be watched" in watch.missing[0]
    kernel.speak(LOW)
    await listener.until(2)
    await watch.stop()

    assert listener.levels == [LOW, NONE]


async def test_files_that_vanish_while_a_level_is_up(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every read fails from now on: the level still comes down, and the entry is still written."""
    watch = Watch(machine, QUICK, listener.tell, listener.changed)
    await watch.start()

    def fails(_: object) -> object:
        raise OSError(5, "Input/output error", "/proc/meminfo")

    monkeypatch.setattr(meminfo, "read", fails)
    kernel.speak(CRITICAL)
    await listener.until(4)
    await watch.stop()

    assert listener.levels == [CRITICAL, MEDIUM, LOW, NONE]


async def test_a_step_of_the_wall_clock_is_nothing(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e12)
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    kernel.speak(LOW)
    await listener.until(1)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    await settle()
    assert (watch.level, timers()) == (LOW, 1)
    await watch.stop()


async def test_after_a_suspend_relief_is_still_step_by_step(
    machine: Machine,
    kernel: Kernel,
    listener: Listener,
) -> None:
    """A clock that counts the sleep, as CLOCK_BOOTTIME: hours late is one step, and the next one waits its own time."""
    now = 0.0
    watch = Watch(machine, replace(SETTINGS, relief=0.05), listener.tell, listener.changed, clock=lambda: now)
    await watch.start()
    kernel.speak(CRITICAL)
    await listener.until(1)
    now = 36000.0
    await listener.until(2)
    await settle()
    assert listener.levels == [CRITICAL, MEDIUM]
    await watch.stop()
