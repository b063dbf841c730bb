"""memd.policy.pressure: levels up at once, down by relief; windows without the capability; the judgement without PSI."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import MemInfo
from memd.model import Level, PressureSettings, SwapFill, Trigger
from memd.policy import pressure
from memd.policy.pressure import Pressure

NONE, LOW, MEDIUM, CRITICAL = Level
DEFAULT = PressureSettings(pressure.DEFAULT_TRIGGERS, pressure.DEFAULT_RELIEF)
RELIEF = 4.0


def play(story: list[tuple[float, Level | None]], levels: tuple[Level, ...] = (LOW, MEDIUM, CRITICAL)) -> list[Level]:
    """The level after each (time, event); event None is the timer."""
    now, seen = Pressure(), []
    for time, event in story:
        now = pressure.due(now, levels, DEFAULT, time) if event is None else pressure.heard(now, event, time)
        seen.append(now.level)
    return seen


@pytest.mark.parametrize(
    ("story", "levels"),
    [
        ([(0, CRITICAL)], [CRITICAL]),
        ([(0, LOW), (0, MEDIUM)], [LOW, MEDIUM]),
        ([(0, MEDIUM), (1, LOW)], [MEDIUM, MEDIUM]),
        ([(0, LOW), (3.9, None), (4, None)], [LOW, LOW, NONE]),
        ([(0, LOW), (3, LOW), (4, None), (7, None)], [LOW, LOW, LOW, NONE]),
        ([(0, CRITICAL), (4, None), (8, None), (12, None)], [CRITICAL, MEDIUM, LOW, NONE]),
        ([(0, CRITICAL), (3.9, LOW), (4, None), (7.9, None), (8, None)], [CRITICAL, CRITICAL, MEDIUM, MEDIUM, LOW]),
        ([(0, MEDIUM), (4, None), (5, MEDIUM), (8, None)], [MEDIUM, LOW, MEDIUM, MEDIUM]),
        ([(0, NONE), (9, None)], [NONE, NONE]),
        (
            [(0, CRITICAL), (1e6, None), (1e6 + 1, None)],
            [CRITICAL, MEDIUM, MEDIUM],
        ),  # a late timer is one step all the same
    ],
)
def test_story(story: list[tuple[float, Level | None]], levels: list[Level]) -> None:
    assert play(story) == levels


def test_a_level_without_a_trigger_is_stepped_over() -> None:
    assert play([(0, CRITICAL), (4, None), (8, None)], levels=(LOW, CRITICAL)) == [CRITICAL, LOW, NONE]


stories = st.lists(st.tuples(st.floats(0, 3), st.sampled_from([None, LOW, MEDIUM, CRITICAL])), max_size=60)


def timed(story: list[tuple[float, Level | None]]) -> list[tuple[float, Level | None]]:
    time, told = 0.0, []
    for gap, event in story:
        time += gap
        told.append((time, event))
    return told


@given(stories)
def test_never_below_a_trigger_that_spoke_within_relief(story: list[tuple[float, Level | None]]) -> None:
    told = timed(story)
    for index, level in enumerate(play(told)):
        now = told[index][0]
        active = [event for time, event in told[: index + 1] if event is not None and now < time + RELIEF]
        assert level >= max(active, default=NONE)


@given(stories)
def test_down_is_one_step_and_at_least_relief_after_the_last_change(story: list[tuple[float, Level | None]]) -> None:
    told = timed(story)
    before, changed = NONE, float("-inf")
    for (time, event), level in zip(told, play(told), strict=True):
        if level < before:
            assert event is None
            assert level == before - 1
            assert time >= changed + RELIEF
        if level is not before:
            before, changed = level, time


@given(stories)
def test_always_ends_at_none_and_then_no_timer_is_due(story: list[tuple[float, Level | None]]) -> None:
    now, time = Pressure(), 0.0
    for time, event in timed(story):
        now = pressure.heard(now, event, time) if event else pressure.due(now, tuple(Level), DEFAULT, time)
        assert (pressure.deadline(now, RELIEF) is None) == (now.level is NONE)
    for _ in range(3):
        due = pressure.deadline(now, RELIEF)
        now = pressure.due(now, tuple(Level), DEFAULT, due) if due is not None else now
    assert now.level is NONE
    assert pressure.deadline(now, RELIEF) is None


def test_defaults_are_what_the_kernel_takes() -> None:
    for trigger in DEFAULT.triggers:
        assert trigger.kind in {"some", "full"}
        assert 0 < trigger.stall <= trigger.window <= 10
    assert [trigger.level for trigger in DEFAULT.triggers] == [LOW, MEDIUM, CRITICAL]
    assert DEFAULT.relief > max(trigger.window for trigger in DEFAULT.triggers)


def test_unprivileged_keeps_the_shares() -> None:
    stretched = pressure.unprivileged(DEFAULT)

    assert [(t.stall, t.window) for t in stretched.triggers] == [(0.2, 2.0), (0.5, 2.0), (0.2, 2.0)]
    assert stretched.relief == 4.0


@given(st.floats(0.5, 10), st.floats(0.01, 1), st.floats(0.1, 60))
def test_unprivileged_is_what_the_kernel_takes_of_anybody(window: float, share: float, relief: float) -> None:
    settings = pressure.unprivileged(PressureSettings((Trigger("some", window * share, window, LOW),), relief))

    (trigger,) = settings.triggers
    assert trigger.window % 2 == 0
    assert window <= trigger.window <= 10
    assert 0 < trigger.stall <= trigger.window
    assert trigger.stall / trigger.window == pytest.approx(share)
    assert settings.relief >= max(relief, 2 * trigger.window)


def test_polled_outlives_a_poll() -> None:
    assert pressure.polled(DEFAULT).relief > pressure.POLL_EVERY


@pytest.mark.parametrize(
    ("available", "swap", "level"),
    [
        (100, None, NONE),
        (20, None, NONE),
        (19, None, LOW),
        (9, None, MEDIUM),
        (4, None, CRITICAL),
        (4, SwapFill(0, 0, 0, 0), CRITICAL),
        (4, SwapFill(100, 0, 0, 100), NONE),
        (4, SwapFill(100, 85, 0, 15), LOW),
        (4, SwapFill(100, 60, 30, 5), MEDIUM),  # zram: 40 by its size, 5 by the RAM that is left
        (50, SwapFill(100, 100, 0, 0), NONE),
    ],
)
def test_judge(available: int, swap: SwapFill | None, level: Level) -> None:
    assert pressure.judge(MemInfo(total=100, available=available, free=0), swap) is level
