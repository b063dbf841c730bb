"""How many buffers a pool should have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.model import Level
from memd.policy import pools


@pytest.mark.parametrize(
    ("level", "ready", "target"),
    [
        (Level.NONE, 0, 8), (Level.NONE, 8, 8), (Level.LOW, 5, 5), (Level.LOW, 0, 0), (Level.MEDIUM, 8, 4), (Level.MEDIUM, 3, 3),
        (Level.CRITICAL, 8, 0),
    ],
)  # fmt: skip
def test_target(level: Level, ready: int, target: int) -> None:
    assert pools.target(8, ready, level) == target


@given(st.integers(1, 1000), st.integers(0, 1000), st.sampled_from(list(Level)), st.sampled_from(list(Level)))
def test_more_pressure_never_means_more(count: int, ready: int, one: Level, other: Level) -> None:
    less, more = sorted((one, other))
    assert 0 <= pools.target(count, min(ready, count), more) <= pools.target(count, min(ready, count), less) <= count


def test_half_of_it_gone() -> None:
    assert [pools.low(count, ready) for count, ready in ((1, 1), (1, 0), (8, 5), (8, 4), (8, 0))] == [
        False,
        True,
        False,
        True,
        True,
    ]
