"""States of a CMA area, and the size that it should have had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.policy import cmahealth
from memd.policy.cmahealth import FINE, FRAGMENTED, LATELY, NEARLY_FULL, CmaSeen

MIB = 1 << 20


@pytest.mark.parametrize(
    ("seen", "available", "run", "time", "state"),
    [
        (CmaSeen(), 64, 64, 0, FINE),
        (CmaSeen(), 7, 7, 0, FINE),
        (CmaSeen(), 6, 6, 0, NEARLY_FULL),
        (CmaSeen(state=NEARLY_FULL), 12, 12, 0, NEARLY_FULL),
        (CmaSeen(state=NEARLY_FULL), 13, 13, 0, FINE),
        (CmaSeen(asked=16 * MIB, asked_at=0), 30, 15, 0, FRAGMENTED),
        (CmaSeen(asked=16 * MIB, asked_at=0), 30, 16, 0, FINE),
        (CmaSeen(asked=16 * MIB, asked_at=0), 15, 8, 0, FINE),  # full for it, not in pieces
        (CmaSeen(asked=16 * MIB, asked_at=0), 30, 15, LATELY + 1, FINE),
        (CmaSeen(asked=16 * MIB, asked_at=0), 30, None, 0, FINE),
    ],
)
def test_state(seen: CmaSeen, available: int, run: int | None, time: float, state: str) -> None:
    assert cmahealth.state(seen, 64 * MIB, available * MIB, None if run is None else run * MIB, time) == state


def test_an_area_of_nothing_is_fine() -> None:
    assert cmahealth.state(CmaSeen(), 0, 0, 0, 0) == FINE


def test_the_largest_request_stands_for_a_while() -> None:
    seen = cmahealth.asked(CmaSeen(), 8, 0)
    seen = cmahealth.asked(seen, 4, 10)
    assert (seen.asked, seen.asked_at) == (8, 0)
    seen = cmahealth.asked(seen, 4, LATELY + 1)
    assert (seen.asked, seen.asked_at) == (4, LATELY + 1)


@pytest.mark.parametrize(
    ("available", "run", "share"),
    [(100, 100, 0.0), (100, 25, 0.75), (0, 0, 0.0), (100, 200, 0.0), (None, 5, None), (5, None, None)],
)
def test_fragmentation(available: int | None, run: int | None, share: float | None) -> None:
    assert cmahealth.fragmentation(available, run) == share


@pytest.mark.parametrize(
    ("seen", "size", "advised", "enough"),
    [
        (CmaSeen(), 64, None, True),
        (CmaSeen(peak=40 * MIB), 64, 64, True),
        (CmaSeen(peak=60 * MIB), 64, 76, True),
        (CmaSeen(peak=10 * MIB), 64, 16, True),
        (CmaSeen(peak=60 * MIB, failures=3, largest_failed=30 * MIB, needed=90 * MIB), 64, 116, False),
        (
            CmaSeen(peak=8 * MIB, failures=1, largest_failed=4 * MIB, needed=12 * MIB),
            64,
            68,
            False,
        ),  # in pieces: more all the same
    ],
)
def test_advice(seen: CmaSeen, size: int, advised: int | None, enough: bool) -> None:
    advice = cmahealth.advise(seen, size * MIB)

    assert (advice.size, advice.enough) == (None if advised is None else advised * MIB, enough)
    assert advice.reason


@given(st.integers(0, 1 << 32), st.integers(0, 1 << 32), st.integers(0, 5), st.integers(1, 1 << 32))
def test_advice_would_have_held_what_was_seen(peak: int, needed: int, failures: int, size: int) -> None:
    advice = cmahealth.advise(CmaSeen(peak=peak, needed=needed, failures=failures), size)

    if advice.size is not None:
        assert advice.size >= max(peak, needed)
        assert advice.enough or advice.size > size
