"""Maintenance: when not, how much, and how long a step may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.model import Level
from memd.model_care import CareSettings
from memd.policy import zramcare
from memd.policy.zramcare import Mood

M = 1 << 20
SETTINGS = CareSettings()
sizes = st.integers(0, 1 << 45)


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        (Mood(level=Level.LOW), "pressure is low"),
        (Mood(load=0.51), "load is 51%"),
        (Mood(battery=0.14), "battery is at 14%"),
    ],
)
def test_postponed(mood: Mood, words: str) -> None:
    assert words in (zramcare.postponed(SETTINGS, mood) or "")


@pytest.mark.parametrize("mood", [Mood(), Mood(load=0.5, battery=0.15), Mood(load=0.0, battery=1.0)])
def test_not_postponed(mood: Mood) -> None:
    assert zramcare.postponed(SETTINGS, mood) is None


def test_the_fuller_the_device_the_more() -> None:
    assert zramcare.writeback_size(SETTINGS, 512 * M, 1024 * M, 1 << 40, 1 << 40) == (150 * M, "")
    assert zramcare.writeback_size(SETTINGS, 1024 * M, 1024 * M, 1 << 40, 1 << 40) == (300 * M, "")


@pytest.mark.parametrize(
    ("original", "room", "left", "words"),
    [
        (1024 * M, 1 << 40, 5 * M - 1, "budget"),
        (1024 * M, 4 * M, 1 << 40, "backing device is full"),
        (10 * M, 1 << 40, 1 << 40, "too little is stored"),
    ],
)
def test_not_worth_it(original: int, room: int, left: int, words: str) -> None:
    size, reason = zramcare.writeback_size(SETTINGS, original, 1024 * M, room, left)

    assert size == 0
    assert words in reason


@given(sizes, sizes, sizes, sizes)
def test_never_more_than_any_of_its_bounds(original: int, disksize: int, room: int, left: int) -> None:
    size, reason = zramcare.writeback_size(SETTINGS, original, disksize, room, left)

    assert bool(size) is not bool(reason)
    assert size == 0 or SETTINGS.writeback_round[0] <= size <= min(room, left, SETTINGS.writeback_round[1])


@given(st.lists(st.floats(0, 10), max_size=50))
def test_a_step_is_bounded_and_shrinks_while_it_is_slow(times: list[float]) -> None:
    pages = zramcare.FIRST_STEP
    for seconds in times:
        before, pages = pages, zramcare.next_step(pages, seconds)
        assert zramcare.LEAST_STEP <= pages <= zramcare.MOST_STEP
        assert seconds <= zramcare.SLOW or pages < before or pages == zramcare.LEAST_STEP


@pytest.mark.parametrize(
    ("text", "kernel"),
    [("6.1.0-18-amd64", (6, 1)), ("7.3-memd", (7, 3)), ("6.18.44", (6, 18)), ("", (0, 0)), ("x.y", (0, 0))],
)
def test_release(text: str, kernel: tuple[int, int]) -> None:
    assert zramcare.release(text) == kernel


def test_marks_stay_on_older_kernels() -> None:
    assert [zramcare.marks_stay(kernel) for kernel in ((0, 0), (6, 1), (6, 12), (6, 13), (7, 0))] == [
        True,
        True,
        True,
        False,
        False,
    ]


@given(st.floats(0, 1e9), st.sampled_from([3600.0, 7200.0]))
def test_rounds_fall_on_whole_periods(now: float, period: float) -> None:
    wait = zramcare.due(now, period)

    assert 0 < wait <= period
    assert (now + wait) % period == pytest.approx(0, abs=1e-3) or (now + wait) % period == pytest.approx(
        period, abs=1e-3
    )
