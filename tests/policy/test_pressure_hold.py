"""Hold time, relief put off while pages come back, and the supply that a stall is weighed with."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.model import Level, PressureSettings, Refaults
from memd.policy import pressure
from memd.policy.pressure import PUT_OFF_MOST, Pressure

NONE, LOW, MEDIUM, CRITICAL = Level
ALL = (LOW, MEDIUM, CRITICAL)
SETTINGS = PressureSettings(pressure.DEFAULT_TRIGGERS, pressure.DEFAULT_RELIEF, hold=0.5)


def play(story: list[tuple[float, Level]], until: float, thrashing: bool = False) -> list[tuple[float, Level]]:
    """(time, level) of each change, the timers kept as the service keeps them: each at its deadline."""
    now, changes = Pressure(), [(0.0, NONE)]

    def note(time: float, after: Pressure) -> Pressure:
        if after.level is not changes[-1][1]:
            changes.append((time, after.level))
        return after

    for time, event in [*story, (until, NONE)]:
        while (when := pressure.deadline(now, SETTINGS.relief, SETTINGS.hold)) is not None and when <= time:
            now = note(when, pressure.due(now, ALL, SETTINGS, when, thrashing))
        now = note(time, pressure.heard(now, event, time, SETTINGS.hold))
    return changes[1:]


@pytest.mark.parametrize(
    ("story", "changes"),
    [
        ([(0, LOW), (0.1, MEDIUM), (0.2, CRITICAL)], [(0, LOW), (0.5, CRITICAL), (4.5, MEDIUM), (8.5, LOW), (12.5, NONE)]),
        ([(0, LOW), (0.5, MEDIUM)], [(0, LOW), (0.5, MEDIUM), (4.5, LOW), (8.5, NONE)]),
        ([(0, LOW), (0.4, MEDIUM)], [(0, LOW), (0.5, MEDIUM), (4.5, LOW), (8.5, NONE)]),
        ([(0, LOW), (4.1, LOW)], [(0, LOW), (4, NONE), (4.5, LOW), (8.5, NONE)]),
        ([(0, CRITICAL), (0.1, LOW)], [(0, CRITICAL), (4, MEDIUM), (8, LOW), (12, NONE)]),
    ],
)  # fmt: skip
def test_a_rise_within_the_hold_time_is_told_at_its_end(
    story: list[tuple[float, Level]], changes: list[tuple[float, Level]]
) -> None:
    assert play(story, 60) == changes


stories = st.lists(st.tuples(st.floats(0, 6), st.sampled_from(ALL)), max_size=60)


def timed(story: list[tuple[float, Level]]) -> list[tuple[float, Level]]:
    time, told = 0.0, []
    for gap, event in story:
        time += gap
        told.append((time, event))
    return told


@given(stories, st.booleans())
def test_never_two_changes_within_the_hold_time(story: list[tuple[float, Level]], thrashing: bool) -> None:
    changes = play(timed(story), 1e4, thrashing)

    assert all(after[0] >= before[0] + SETTINGS.hold for before, after in itertools.pairwise(changes))


@given(stories, st.booleans())
def test_always_ends_at_none(story: list[tuple[float, Level]], thrashing: bool) -> None:
    told = timed(story)
    changes = play(told, 1e4, thrashing)

    assert not changes or changes[-1][1] is NONE
    last = told[-1][0] if told else 0.0
    assert not changes or changes[-1][0] <= last + SETTINGS.hold + 3 * SETTINGS.relief * (1 + PUT_OFF_MOST) + 1e-6


@given(stories)
def test_every_stall_is_told_within_the_hold_time(story: list[tuple[float, Level]]) -> None:
    told = timed(story)
    changes = play(told, 1e4)

    for time, event in told:
        after = [level for when, level in changes if when <= time + SETTINGS.hold]
        assert after
        assert max(level for when, level in changes if when <= time + SETTINGS.hold) >= event
        up_then = [level for when, level in changes if when <= time]
        later = [level for when, level in changes if time <= when <= time + SETTINGS.hold]
        assert max([*up_then[-1:], *later]) >= event


def test_thrashing_puts_relief_off_and_not_for_ever() -> None:
    calm, thrashing = play([(0, LOW)], 600), play([(0, LOW)], 600, thrashing=True)

    assert calm == [(0, LOW), (4, NONE)]
    assert thrashing == [(0, LOW), (4 * (1 + PUT_OFF_MOST), NONE)]


def test_a_stall_begins_the_patience_anew() -> None:
    now = Pressure(LOW, 0, 0, put_off=PUT_OFF_MOST)

    assert pressure.heard(now, LOW, 3).put_off == 0


MIB = 1 << 20


@pytest.mark.parametrize(
    ("before", "now", "is_thrashing"),
    [
        (None, Refaults(1, 0), False),
        (Refaults(0, 0), None, False),
        (Refaults(0, 0), Refaults(1, 10 * MIB), True),
        (Refaults(0, 0), Refaults(2, 10 * MIB), False),
        (Refaults(0, 0), Refaults(2, 20 * MIB), True),
        (Refaults(0, 50 * MIB), Refaults(1, 20 * MIB), False),  # the counter went back
        (Refaults(5, 0), Refaults(5, 500 * MIB), False),
        (Refaults(5, 0), Refaults(4, 500 * MIB), False),
    ],
)
def test_thrashing(before: Refaults | None, now: Refaults | None, is_thrashing: bool) -> None:
    assert pressure.thrashing(before, now, 1000 * MIB) is is_thrashing
