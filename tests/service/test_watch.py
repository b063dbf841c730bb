"""The watch over a machine in a directory; TCP's urgent data stands for the kernel's triggers (both are EPOLLPRI)."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from memd.early import replace
from memd.kernel import psi
from memd.kernel.root import Root
from memd.model import Level, SwapFill, Trigger
from memd.names import MESSAGE_PRESSURE
from memd.policy import pressure
from memd.service import watch as watch_module
from memd.service import watchfacts
from memd.service.listener import Listener as Acts
from memd.service.watch import NO_PSI, UNPRIVILEGED, Watch
from tests.service.watching import MEMINFO, PSI, QUICK, SETTINGS, SWAPS, Kernel, Listener, Machine, Put, settle, timers

NONE, LOW, MEDIUM, CRITICAL = Level


async def test_an_idle_watch_has_nothing_scheduled(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    assert (watch.level, timers()) == (NONE, 0)

    kernel.speak(LOW)
    await listener.until(1)
    await settle()
    assert (watch.level, timers()) == (LOW, 1)
    await watch.configure(QUICK)
    await listener.until(2)
    assert (watch.level, timers()) == (NONE, 0)
    assert watch.missing == ()
    await watch.stop()
    assert timers() == 0


async def test_up_at_once_and_down_step_by_step(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    watch = Watch(machine, QUICK, listener.tell, listener.changed)
    await watch.start()
    kernel.speak(CRITICAL)
    await listener.until(4)
    await watch.stop()

    assert listener.levels == [CRITICAL, MEDIUM, LOW, NONE]
    assert [event.fields["MEMD_PREVIOUS"] for event in listener.events] == ["none", "critical", "medium", "low"]
    assert [event.priority for event in listener.events] == [3, 6, 6, 6]


async def test_events_of_the_level_that_is_up_say_nothing(
    machine: Machine, kernel: Kernel, listener: Listener
) -> None:
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    for level in (LOW, LOW, MEDIUM, LOW, MEDIUM, CRITICAL):
        kernel.speak(level)
        await settle()
    await watch.stop()

    assert listener.levels == [LOW, MEDIUM, CRITICAL]
    assert [event.priority for event in listener.events] == [5, 4, 3]


async def test_what_an_event_says(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    kernel.speak(MEDIUM)
    await listener.until(1)
    await watch.stop()

    (event,) = listener.events
    assert event.message_id == MESSAGE_PRESSURE
    assert event.message == (
        "memory pressure is medium, was none: stalled some 12.5%, full 1.25% of the last 10 s, "
        "488M of memory available, 293M of swap free"
    )
    assert event.fields == {
        "MEMD_LEVEL": "medium",
        "MEMD_PREVIOUS": "none",
        "MEMD_PSI_SOME_AVG10": 12.5,
        "MEMD_PSI_FULL_AVG10": 1.25,
        "MEMD_MEM_TOTAL": 1000000 * 1024,
        "MEMD_MEM_AVAILABLE": 500000 * 1024,
        "MEMD_SWAP_TOTAL": 400000 * 1024,
        "MEMD_SWAP_FREE": 300000 * 1024,
        "MEMD_SWAP_REACHABLE": 300000 * 1024,
        "MEMD_SWAP_COST": 25600000,
        "MEMD_CMA_TOTAL": 64 << 20,
        "MEMD_CMA_FREE": 32 << 20,
    }
    ((level, facts),) = listener.changes
    assert level is MEDIUM
    assert (facts["level"], facts["previous"], facts["some_avg10"]) == ("medium", "none", 12.5)
    assert facts["swap_fill"] == {
        "size": 400000 * 1024, "used": 100000 * 1024, "cost": 25600000, "free": 300000 * 1024, "fraction": 0.25,
    }  # fmt: skip


async def test_what_cannot_be_read_is_left_out(machine: Machine, kernel: Kernel, listener: Listener, put: Put) -> None:
    put("proc/pressure/memory", "nonsense")
    put("proc/swaps", "nonsense")
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    kernel.speak(LOW)
    await listener.until(1)
    await watch.stop()

    fields = listener.events[0].fields
    assert fields["MEMD_MEM_TOTAL"] == 1000000 * 1024
    assert not {"MEMD_PSI_SOME_AVG10", "MEMD_SWAP_REACHABLE"} & fields.keys()


async def test_a_stuck_zram_holds_no_event_up(
    machine: Machine, kernel: Kernel, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, calls = threading.Event(), []

    def stuck(root: Root) -> SwapFill | None:
        calls.append(root)
        let_go.wait(10)
        return None

    monkeypatch.setattr(watchfacts, "read_fill", stuck)
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    try:
        kernel.speak(LOW)
        while not calls:
            await asyncio.sleep(0)
        kernel.speak(MEDIUM)  # has nothing to wait for, and still waits for its turn
        await listener.until(2)
    finally:
        let_go.set()
        await watch.stop()

    assert listener.levels == [LOW, MEDIUM]
    assert len(calls) == 1, "a second reader would only be stuck behind the first"


async def test_a_listener_that_fails_costs_no_entry(
    machine: Machine, kernel: Kernel, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(level: Level, facts: dict[str, object]) -> None:
        raise RuntimeError("the bus is gone")

    watch = Watch(machine, SETTINGS, listener.tell, fails)
    await watch.start()
    kernel.speak(LOW)
    await listener.until(1)
    await watch.stop()

    assert "the bus is gone" in caplog.text


async def test_since_is_by_the_clock(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    now = 100.0
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed, clock=lambda: now)
    await watch.start()
    assert watch.since == 100
    now = 160.0
    kernel.speak(LOW)
    await listener.until(1)
    now = 161.0
    kernel.speak(LOW)
    await settle()
    assert watch.since == 160
    await watch.stop()


async def test_mode_and_windows_with_the_capability(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()

    assert watch.mode == "kernel triggers over 1 s: low some 100ms, medium some 250ms, critical full 100ms"
    assert kernel.opened == list(SETTINGS.triggers)
    await watch.stop()
    assert watch.mode == "not watching"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EPERM])
async def test_without_the_capability_windows_are_two_seconds(
    machine: Machine, kernel: Kernel, listener: Listener, number: int
) -> None:
    kernel.refuse = number
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()

    assert watch.mode == (
        "kernel triggers over 2 s: low some 200ms, medium some 500ms, critical full 200ms "
        "(windows stretched for lack of CAP_SYS_RESOURCE)"
    )
    assert watch.missing == (UNPRIVILEGED,)
    assert timers() == 0
    kernel.speak(LOW)
    await listener.until(1)
    assert watch.level is LOW
    await watch.stop()


async def test_a_trigger_refused_after_others_were_taken(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    kernel.refuse = errno.EINVAL
    low, medium = Trigger("some", 0.2, 2.0, LOW), Trigger("some", 0.25, 1.0, MEDIUM)
    watch = Watch(machine, replace(SETTINGS, triggers=(low, medium)), listener.tell, listener.changed)
    await watch.start()
    await watch.stop()

    assert kernel.opened == [low, low, Trigger("some", 0.5, 2.0, MEDIUM)]


async def test_without_psi_memory_is_looked_at(machine: Machine, kernel: Kernel, listener: Listener, put: Put) -> None:
    kernel.absent = errno.ENOENT
    put("proc/meminfo", MEMINFO.format(available=500000))
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    await settle()

    assert watch.missing == (NO_PSI,)
    assert watch.mode == "free memory and swap, looked at every 10 s: no pressure triggers"
    assert (watch.level, timers()) == (NONE, 1)
    await watch.stop()
    assert timers() == 0


async def test_polling_sees_a_level(
    machine: Machine, kernel: Kernel, listener: Listener, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.absent = errno.ENOENT
    monkeypatch.setattr(watch_module, "POLL_EVERY", 0.01)
    monkeypatch.setattr(pressure, "POLL_EVERY", 0.01)
    put("proc/meminfo", MEMINFO.format(available=30000))
    put("proc/swaps", SWAPS.replace("100000", "395000"))
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    await listener.until(1)
    assert listener.levels == [CRITICAL]
    put("proc/meminfo", MEMINFO.format(available=900000))
    await watch.configure(QUICK)
    await listener.until(4)
    await watch.stop()

    assert listener.levels == [CRITICAL, MEDIUM, LOW, NONE]


async def test_polling_judges_nothing_without_knowing_swap(
    machine: Machine, kernel: Kernel, listener: Listener, put: Put
) -> None:
    kernel.absent = errno.ENOENT
    put("proc/meminfo", MEMINFO.format(available=1))
    put("proc/swaps", "nonsense")
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    await settle()
    await watch.stop()

    assert listener.levels == []


async def test_a_recorded_machine_is_polled_and_its_files_stay(machine: Machine, listener: Listener) -> None:
    recorded = Root(machine.directory)
    watch = Watch(recorded, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    await watch.stop()

    assert "a recorded machine has no triggers" in watch.missing[0]
    assert recorded.read(psi.NAME) == PSI


async def test_a_trigger_that_the_kernel_gives_up(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    kernel.give_up(MEDIUM)
    await settle()
    assert watch.missing == ("the kernel gave up the pressure trigger of level medium",)
    assert "kernel triggers" in watch.mode
    kernel.speak(LOW)
    await listener.until(1)

    kernel.give_up(LOW)
    kernel.give_up(CRITICAL)
    await settle()
    assert "looked at every 10 s" in watch.mode
    await watch.stop()


async def test_configure_keeps_the_level(machine: Machine, kernel: Kernel, listener: Listener) -> None:
    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    kernel.speak(LOW)
    await listener.until(1)
    await watch.configure(replace(QUICK, triggers=(Trigger("some", 0.3, 1.0, LOW),)))
    assert watch.level is LOW
    assert "low some 300ms" in watch.mode
    await listener.until(2)
    await watch.stop()

    assert listener.levels == [LOW, NONE]


async def test_a_bare_machine_has_a_line_for_each_thing(root: Root, put: Put, listener: Listener) -> None:
    put("proc/meminfo", "\n".join(MEMINFO.format(available=500000).splitlines()[:3]))
    watch = Watch(root, SETTINGS, listener.tell, listener.changed)
    await watch.start()
    await watch.stop()

    assert [line.split(" ")[1].rstrip(":") for line in watch.missing] == ["swap", "zram", "refaults", "CMA", "PSI"]
    assert watch.facts() == {"level": "none", "total": 1000000 * 1024, "available": 500000 * 1024}


@pytest.mark.parametrize(
    ("cma", "words"),
    [
        ("CmaTotal: 0 kB\nCmaFree: 0 kB", "no CMA area"),
        ("CmaTotal: 4 kB\nCmaFree: 0 kB", "no CMA statistics"),
        ("", "no CMA in"),
    ],
)
def test_missing_cma_says_what_is_missing(root: Root, put: Put, cma: str, words: str) -> None:
    put("proc/meminfo", "\n".join(MEMINFO.format(available=1).splitlines()[:5]) + "\n" + cma)

    assert sum(line.startswith(words) for line in watchfacts.lacking(root)) == 1


def test_a_machine_without_proc_says_so(root: Root) -> None:
    (line,) = watchfacts.lacking(root)

    assert line.startswith("memory can't be watched: ")
    assert "no /proc mounted" in line


async def test_listeners_hear_changes_at_once_and_each_stall_of_the_level_that_is_up(
    machine: Machine, kernel: Kernel, listener: Listener
) -> None:
    heard: list[str] = []

    class Hears(Acts):
        def moved(self, level: Level, previous: Level) -> None:
            heard.append(f"{previous} to {level}")

        def stalled(self, level: Level) -> None:
            heard.append(str(level))

    watch = Watch(machine, SETTINGS, listener.tell, listener.changed)
    watch.listeners.append(Hears())
    await watch.start()
    for level in (MEDIUM, LOW, MEDIUM):
        kernel.speak(level)
        await settle()
    await watch.configure(QUICK)
    await listener.until(3)
    await watch.stop()

    assert heard == ["none to medium", "medium", "medium", "medium to low", "low to none"]
