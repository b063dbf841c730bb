"""Units started at a level, and the warnings of low-memory-monitor: when each is due."""

from __future__ import annotations

import asyncio

import pytest

from memd.errors import Failed
from memd.model import Event, Level
from memd.names import MESSAGE_UNIT_FAILED, MESSAGE_UNIT_STARTED
from memd.service.hooks import Hooks, due
from memd.service.listener import Listener, tell_moved, tell_stalled
from memd.service.lowmemory import LowMemory

NONE, LOW, MEDIUM, CRITICAL = Level
UNITS = {NONE: "calm.target", LOW: "low.service", CRITICAL: "critical.service"}


@pytest.mark.parametrize(
    ("previous", "level", "units"),
    [
        (NONE, LOW, [LOW]),
        (NONE, MEDIUM, [LOW]),
        (NONE, CRITICAL, [LOW, CRITICAL]),
        (MEDIUM, CRITICAL, [CRITICAL]),
        (CRITICAL, MEDIUM, []),
        (MEDIUM, LOW, []),
        (LOW, NONE, [NONE]),
    ],
)
def test_which_units_are_due(previous: Level, level: Level, units: list[Level]) -> None:
    assert due(UNITS, level, previous) == units


async def test_started_through_systemd_and_told() -> None:
    asked: list[str] = []
    told: list[Event] = []

    async def start(unit: str) -> None:
        asked.append(unit)
        if unit == "low.service":
            raise Failed("Unit low.service not found.")

    hooks = Hooks(start, told.append)
    hooks.units = UNITS
    hooks.moved(CRITICAL, NONE)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert asked == ["low.service", "critical.service"]
    assert [(event.message_id, event.priority) for event in told] == [
        (MESSAGE_UNIT_FAILED, 3),
        (MESSAGE_UNIT_STARTED, 5),
    ]
    assert told[0].message == "low.service could not be started at memory pressure low: Unit low.service not found."
    assert told[1].fields == {"MEMD_UNIT": "critical.service", "MEMD_LEVEL": "critical"}
    await hooks.stop()


async def test_a_start_that_is_not_answered_is_not_asked_again_and_ends_with_memd() -> None:
    asked: list[str] = []

    async def start(unit: str) -> None:
        asked.append(unit)
        await asyncio.Event().wait()

    hooks = Hooks(start, lambda _: None)
    hooks.units = {LOW: "low.service"}
    for _ in range(5):
        hooks.moved(LOW, NONE)
        await asyncio.sleep(0)
    assert asked == ["low.service"]
    await hooks.stop()


def test_a_warning_is_repeated_after_15_s_of_its_level() -> None:
    now = 0.0
    signals: list[tuple[float, int]] = []
    monitor = LowMemory(lambda number: signals.append((now, number)), clock=lambda: now)
    story = [(0.0, LOW), (1.0, LOW), (2.0, MEDIUM), (14.9, LOW), (15.0, LOW), (16.0, MEDIUM), (17.0, MEDIUM),
             (18.0, CRITICAL), (18.5, CRITICAL)]  # fmt: skip
    for time, level in story:
        now = time
        monitor.stalled(level)

    assert signals == [(0.0, 50), (2.0, 100), (15.0, 50), (17.0, 100), (18.0, 255)]


def test_relief_is_no_warning() -> None:
    signals: list[int] = []
    monitor = LowMemory(signals.append)
    monitor.moved(NONE, CRITICAL)
    assert signals == []


def test_one_that_fails_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    class Fails(Listener):
        def moved(self, level: Level, previous: Level) -> None:
            raise RuntimeError("moved")

        def stalled(self, level: Level) -> None:
            raise RuntimeError("stalled")

    class Hears(Listener):
        def moved(self, level: Level, previous: Level) -> None:
            heard.append(f"{previous} to {level}")

        def stalled(self, level: Level) -> None:
            heard.append(str(level))

    both = (Fails(), Hears())
    tell_moved(both, LOW, NONE)
    tell_stalled(both, LOW)

    assert heard == ["none to low", "low"]
    assert "RuntimeError: moved" in caplog.text
