"""Idle ages: ChromeOS's formula, and never a page that was idle only because the machine slept."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import MemInfo
from memd.policy import idleage

HOUR = 3600.0


def memory(available: float) -> MemInfo:
    return MemInfo(total=1000, available=int(1000 * available), free=0)


@pytest.mark.parametrize(
    ("available", "hours"), [(1.0, 4.0), (0.0, 2 + 2 * math.exp(-5)), (0.5, 2 + 2 * math.exp(-2.5))]
)
def test_the_formula(available: float, hours: float) -> None:
    assert idleage.wanted(2 * HOUR, 4 * HOUR, memory(available)) == pytest.approx(hours * HOUR)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(-1, 3))
def test_between_least_and_most_whatever_meminfo_says(least: float, more: float, available: float) -> None:
    wanted = idleage.wanted(least, least + more, memory(available))

    assert least <= wanted <= (least + more) * (1 + 1e-9)


def test_without_suspend_an_age_is_an_age() -> None:
    assert idleage.counted(2 * HOUR, [(3 * HOUR, 3 * HOUR), (10 * HOUR, 10 * HOUR)]) == 2 * HOUR


def test_a_night_asleep_does_not_count() -> None:
    evening, morning = (100 * HOUR, 100 * HOUR), (109 * HOUR, 101 * HOUR)

    assert idleage.counted(2 * HOUR, [evening, morning]) == 10 * HOUR


def test_a_machine_that_is_up_for_less_has_no_such_page() -> None:
    assert idleage.counted(2 * HOUR, [(HOUR, HOUR)]) is None
    assert idleage.counted(2 * HOUR, [(30 * HOUR, HOUR)]) is None


stretches = st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5), st.booleans()), min_size=1, max_size=20)


@given(stretches, st.floats(1, 1e5))
def test_as_much_awake_time_as_was_asked_for(history: list[tuple[float, float, bool]], age: float) -> None:
    """Awake, asleep, awake, asleep ...; samples are only taken at some of the ends."""
    boot = awake = 0.0
    samples, truth = [], [(0.0, 0.0)]
    for up, down, sampled in history:
        boot, awake = boot + up, awake + up
        truth.append((boot, awake))
        if sampled:
            samples.append((boot, awake))
        boot += down
        truth.append((boot, awake))
    samples.append((boot, awake))

    counted = idleage.counted(age, samples)

    if counted is None:
        assert awake < age
        return
    start = boot - counted
    assert start >= -1e-6
    later = [(at, up) for at, up in truth if at >= start]
    before = max((pair for pair in truth if pair[0] <= start), default=(0.0, 0.0))
    awake_at_start = min(before[1] + (start - before[0]), later[0][1] if later else awake)
    assert awake - awake_at_start >= age - 1e-6


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=20), st.floats(1, 1e5))
def test_what_is_forgotten_is_not_missed(history: list[tuple[float, float]], age: float) -> None:
    samples, boot, awake = [], 0.0, 0.0
    for up, down in history:
        boot, awake = boot + up + down, awake + up
        samples.append((boot, awake))

    kept = idleage.remembered(samples, age)

    assert idleage.counted(age, kept) == idleage.counted(age, samples)
    assert (
        sum(samples[-1][1] - up >= age for _, up in kept) <= 1
        or samples[-1][1] - kept[0][1] < age
        or len(kept) <= len(samples)
    )
