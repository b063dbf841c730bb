"""CMA areas over time: a pipe stands for the kernel's trace, a directory for its counters."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from memd import names
from memd.kernel import cmadebug, tracefs
from memd.model import CmaAllocation, Event, Heap, HeapKind, Level, Request
from memd.policy.admission import refusal
from memd.service import cmaseen, cmawatch
from memd.service.cmawatch import CmaWatch
from memd.service.exhausted import Exhausted
from tests.service.watching import Machine, Put, settle, timers

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")


class World:
    def __init__(self, put: Put) -> None:
        self.put, self.now = put, 0.0
        self.events: list[Event] = []
        self.signals: list[tuple[str, int, dict[str, Any]]] = []
        self.states: list[tuple[str, str]] = []
        self.exhausted = Exhausted(self.events.append, self.failed, PAGE, lambda: self.now)

    def failed(self, region: str, pages: int, facts: dict[str, object]) -> None:
        self.signals.append((region, pages, facts))

    def changed(self, region: str, state: str, _facts: dict[str, object]) -> None:
        self.states.append((region, state))

    def area(self, available: int, fail: int = 0, run: int | None = None, name: str = "cam") -> None:
        """64M, of which so many MiB are free."""
        values = {
            "total_pages": 64 * MIB // PAGE,
            "available_pages": available * MIB // PAGE,
            "alloc_pages_fail": fail,
        }
        for file, value in {**values, "alloc_pages_success": 0}.items():
            self.put(f"sys/kernel/mm/cma/{name}/{file}", f"{value}\n")
        if run is not None:
            self.put(f"{cmadebug.DIRECTORY}/{name}/maxchunk", f"{run * MIB // PAGE}\n")

    def watch(self, machine: Machine) -> CmaWatch:
        return CmaWatch(machine, self.events.append, self.changed, self.exhausted, lambda: self.now)


@pytest.fixture
def world(put: Put) -> World:
    return World(put)


class Trace:
    """A trace that the test writes."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.waiting: list[CmaAllocation] = []

    def happen(self, pages: int, number: int, region: str = "cam", time: float = 0.0) -> None:
        self.waiting.append(CmaAllocation(region, pages, number, 77, "camd", time))
        os.write(self.writer, b"!")

    def fileno(self) -> int:
        return self.reader

    def read(self) -> list[CmaAllocation]:
        os.read(self.reader, 4096)
        told, self.waiting = self.waiting, []
        return told

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    one = Trace()
    monkeypatch.setattr(cmawatch, "CmaTrace", lambda *_: one)
    return one


async def test_a_drivers_failure_is_told_with_its_size_and_time(machine: Machine, world: World, trace: Trace) -> None:
    world.area(20, run=10)
    watch = world.watch(machine)
    watch.start()
    assert (watch.missing, timers()) == ((), 0)
    world.now = 10.5
    trace.happen(8192, 12, time=10.0)
    await settle()

    assert world.signals == [
        ("cam", 8192, {"size": 8192 * PAGE, "errno": 12, "pid": 77, "comm": "camd", "age": 0.5, "suppressed": 0})
    ]
    (event,) = [event for event in world.events if event.message_id == names.MESSAGE_CMA_FAILED]
    assert event.message.endswith("asked for by camd (process 77): Cannot allocate memory")
    assert event.fields["MEMD_REGION"] == "cam"
    facts = watch.facts("cam")
    assert (facts["failures"], facts["largest_failed"]) == (1, 8192 * PAGE)
    assert facts["needed"] == 44 * MIB + 8192 * PAGE
    watch.stop()
    assert timers() == 0


async def test_a_storm_is_one_look_per_pause(
    machine: Machine, world: World, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cmawatch, "PAUSE", 0.05)
    world.area(20)
    watch = world.watch(machine)
    looks = []
    monkeypatch.setattr(watch, "observe", lambda *_: looks.append(1))
    watch.start()
    begun = time.monotonic()
    for _ in range(50):
        trace.happen(256, 0)
        await asyncio.sleep(0.002)
    assert len(looks) <= (time.monotonic() - begun) / 0.05 + 2, "one at the start, one at once"
    watch.stop()


async def test_memds_own_request_is_told_once(machine: Machine, world: World, trace: Trace) -> None:
    world.area(20)
    watch = world.watch(machine)
    watch.start()
    request = Request(Heap("cam", HeapKind.CMA, region="cam"), (4096 * PAGE,))
    trace.happen(4096, 12)
    await settle()
    world.exhausted.refused(request, refusal("x", "nothing left", "NoMemory"))
    assert len(world.signals) == 1
    world.exhausted.refused(request, refusal("x", "nothing left", "NoMemory"))
    assert len(world.signals) == 2, "the next one has not been told"
    watch.stop()


async def test_nearly_full_and_back_is_told_once_each(machine: Machine, world: World, trace: Trace) -> None:
    watch = world.watch(machine)
    world.area(60)
    watch.start()
    for available in (5, 5, 8, 12, 20, 20):
        world.area(available)
        watch._observe_now()
    watch.stop()

    assert world.states == [("cam", "nearly-full"), ("cam", "fine")]
    assert [event.message_id for event in world.events] == [names.MESSAGE_CMA_NEARLY_FULL, names.MESSAGE_CMA_FINE]
    assert world.events[0].message == "CMA area cam is nearly full: 5M of 64M free"
    assert watch.facts("cam")["peak"] == 59 * MIB


async def test_too_fragmented_for_what_was_asked_of_it(machine: Machine, world: World, trace: Trace) -> None:
    watch = world.watch(machine)
    world.area(60, run=60)
    watch.start()
    trace.happen(16 * MIB // PAGE, 0)
    world.area(30, run=8)
    await settle()
    watch.stop()

    assert world.states == [("cam", "fragmented")]
    assert world.events[-1].message == (
        "CMA area cam is fragmented: 30M of 64M free, the largest run 8M, lately asked for 16M"
    )


async def test_without_the_tracepoint_the_counter_tells(machine: Machine, world: World) -> None:
    world.area(20, fail=100)
    watch = world.watch(machine)
    watch.start()
    assert "no tracepoint cma:cma_alloc_finish" in watch.missing[0]
    assert "largest free run" in watch.missing[1]
    assert timers() == 0
    world.exhausted.refused(
        Request(Heap("cam", HeapKind.CMA, region="cam"), (30 * PAGE,)), refusal("x", "nothing left", "NoMemory")
    )
    world.area(20, fail=180)
    watch._observe_now()
    world.area(20, fail=180)
    watch._observe_now()
    watch.stop()

    assert [(region, pages) for region, pages, _ in world.signals] == [("cam", 30), ("cam", 50)]
    assert world.signals[1][2]["counted"] is True
    assert watch.facts("cam")["alloc_fail_since"] == 80


async def test_without_the_tracepoint_what_memd_asks_is_a_reason_to_look(
    machine: Machine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and what comes in the pause at its end; then nothing is left that wakes anybody."""
    monkeypatch.setattr(cmawatch, "PAUSE", 0.02)
    world.area(60)
    watch = world.watch(machine)
    watch.start()
    world.area(5)
    watch.changed()
    assert world.states == [("cam", "nearly-full")]
    world.area(30)
    watch.changed()
    watch.moved(Level.LOW, Level.NONE)
    assert world.states[1:] == [], "in the pause"
    await asyncio.sleep(0.1)
    assert world.states[1:] == [("cam", "fine")]
    assert timers() == 0
    watch.stop()
    watch.changed()
    assert timers() == 0


async def test_what_was_seen_outlives_memd(
    machine: Machine, world: World, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.area(4)
    watch = world.watch(machine)
    watch.start()
    trace.happen(8192, 12)
    await settle()
    before = watch.facts("cam")
    watch.stop()

    world.area(50)
    monkeypatch.setattr(cmawatch, "CmaTrace", lambda *_: Trace())
    again = world.watch(machine)
    monkeypatch.setattr(again, "_observe_now", lambda: None)
    again.start()
    kept = ("state", "peak", "failures", "largest_failed", "largest_asked", "needed")
    assert {key: before[key] for key in kept} == {key: again.facts("cam")[key] for key in kept}
    assert (before["failures"], before["peak"], before["state"]) == (1, 60 * MIB, "nearly-full")
    again.stop()


async def test_garbage_in_what_was_kept_is_told_and_begins_anew(
    machine: Machine, world: World, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    put(cmaseen.NAME, '{"boot": "", "areas": {"cam": {"peak": -1}}}')
    world.area(50)
    watch = world.watch(machine)
    watch.start()
    watch.stop()

    assert "what was seen of CMA areas is forgotten: " in caplog.text
    assert watch.facts("cam")["peak"] == 14 * MIB
    assert "cam" in cmaseen.parse(machine.read(cmaseen.NAME) or "", ""), "and is kept again"


async def test_a_counter_that_goes_back_says_nothing(machine: Machine, world: World) -> None:
    watch = world.watch(machine)
    for fail in (500, 20, 21):
        world.area(20, fail=fail)
        watch._observe_now()

    assert [(region, pages) for region, pages, _ in world.signals] == [("cam", 1)]
    assert watch.facts("cam")["alloc_fail_since"] == 0


@pytest.mark.parametrize("text", ["", "nonsense"])
async def test_an_area_that_makes_no_sense_ends_nothing(
    machine: Machine, world: World, trace: Trace, put: Put, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.area(20)
    watch = world.watch(machine)
    watch.start()
    put("sys/kernel/mm/cma/cam/available_pages", text)
    trace.happen(4096, 12)
    await settle()
    watch.stop()

    assert len(world.signals) == 1
    assert "can't be looked at" in caplog.text


async def test_no_areas_no_trace(machine: Machine, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.rmtree(machine.path("sys/kernel/mm/cma"))
    monkeypatch.setattr(tracefs, "CmaTrace", None)
    watch = world.watch(machine)
    watch.start()
    assert watch.missing == ()
    watch.stop()
