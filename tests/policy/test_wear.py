"""The wear budget: in no 24 hours is more written than allowed, whatever happens to memd, the machine, and its clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from memd.model_care import Spent, Wear
from memd.policy import wear

HOUR = 3600.0
BUDGET = 1000
seconds = st.floats(0, 30 * HOUR) | st.sampled_from([0.0, wear.DAY, wear.DAY - 1, wear.DAY + 1])


class Flash(RuleBasedStateMachine):
    """A board's life. `now` is the truth, which nobody in it knows; `since_boot` is the kernel's clock with suspend."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.since_boot = 0.0
        self.boots = 1
        self.kept = self.memory = wear.resumed(Wear(), "boot-1", 0.0)
        self.written: list[tuple[float, int]] = []

    @rule(seconds=seconds)
    def time_passes(self, seconds: float) -> None:
        """Awake or suspended: the kernel's clock counts both."""
        self.now += seconds
        self.since_boot += seconds

    @rule(share=st.floats(0, 1), took=st.floats(0, 2 * HOUR), part=st.floats(0, 1))
    def round(self, share: float, took: float, part: float) -> None:
        self.promise(share)
        self.time_passes(took)
        written = int(self.memory.spent[-1].size * part) if self.memory.spent and self.memory.spent[-1].open else 0
        self.write(written)
        self.memory = self.kept = wear.settled(wear.aged(self.memory, self.since_boot), written)

    @rule(share=st.floats(0, 1), took=st.floats(0, 2 * HOUR), reboot=st.booleans(), off=seconds)
    def power_cut_in_a_round(self, share: float, took: float, reboot: bool, off: float) -> None:
        self.promise(share)
        self.time_passes(took)
        self.write(self.memory.spent[-1].size)
        self.starts_again(reboot, off)

    @rule(reboot=st.booleans(), off=seconds)
    def starts_again(self, reboot: bool, off: float) -> None:
        self.now += off
        self.since_boot += off
        if reboot:
            self.boots, self.since_boot = self.boots + 1, 0.0
        self.memory = self.kept = wear.resumed(self.kept, f"boot-{self.boots}", self.since_boot)

    @rule()
    def stops_in_order(self) -> None:
        self.memory = self.kept = wear.aged(self.memory, self.since_boot)

    @rule()
    def the_file_is_lost(self) -> None:
        self.memory = self.kept = wear.lost(f"boot-{self.boots}", self.since_boot, BUDGET)

    def promise(self, share: float) -> None:
        now = wear.aged(self.memory, self.since_boot)
        self.memory = self.kept = wear.promised(now, int(wear.left(now, BUDGET) * share), BUDGET)

    def write(self, size: int) -> None:
        self.written.append((self.now, size))

    @invariant()
    def never_more_than_the_budget(self) -> None:
        for end, _ in self.written:
            assert sum(size for at, size in self.written if end - wear.DAY <= at <= end) <= BUDGET


TestFlash = Flash.TestCase


def test_a_day_later_it_may_be_spent_again() -> None:
    now = wear.resumed(Wear(), "a", 0.0)
    now = wear.settled(wear.promised(now, BUDGET, BUDGET), BUDGET)

    assert wear.left(now, BUDGET) == 0
    assert wear.left(wear.aged(now, wear.DAY), BUDGET) == 0
    assert wear.left(wear.aged(now, wear.DAY + 1), BUDGET) == BUDGET


def test_what_was_not_written_is_given_back() -> None:
    now = wear.promised(wear.resumed(Wear(), "a", 0.0), 600, BUDGET)

    assert wear.left(now, BUDGET) == 400
    assert wear.left(wear.settled(now, 100), BUDGET) == 900


def test_more_than_is_left_is_not_promised() -> None:
    now = wear.promised(wear.resumed(Wear(), "a", 0.0), 600, BUDGET)

    with pytest.raises(ValueError, match="more than the 400"):
        wear.promised(now, 401, BUDGET)


def test_a_lower_budget_counts_what_was_written_under_the_higher_one() -> None:
    now = wear.settled(wear.promised(wear.resumed(Wear(), "a", 0.0), 600, BUDGET), 600)

    assert wear.left(now, 500) == 0


@given(st.lists(st.integers(0, 10), max_size=400))
def test_the_history_stays_short(sizes: list[int]) -> None:
    now = wear.resumed(Wear(), "a", 0.0)
    for size in sizes:
        now = wear.settled(wear.promised(now, size, 10_000), size)

    assert len(now.spent) <= wear.MOST
    assert wear.left(now, 10_000) == 10_000 - sum(sizes)


def test_an_entry_from_the_future_is_taken_to_be_of_now() -> None:
    now = wear.resumed(Wear(lived=5.0, boot="a", since_boot=5.0, spent=(Spent(1e9, 400),)), "b", 1.0)

    assert now.spent == (Spent(5.0, 400),)


def test_what_is_almost_a_day_old_is_not_forgotten_by_the_next_round() -> None:
    now = wear.settled(wear.promised(wear.resumed(Wear(), "a", 0.0), 600, BUDGET), 600)
    now = wear.aged(now, wear.DAY - 1)

    assert wear.left(wear.settled(wear.promised(now, 100, BUDGET), 100), BUDGET) == 300
    assert wear.left(wear.resumed(now, "a", wear.DAY - 1), BUDGET) == 400


def test_entries_that_are_put_together_count_until_the_later_one_is_old() -> None:
    many = Wear(spent=tuple(Spent(float(at), 1) for at in range(wear.MOST + 1)))

    assert wear.settled(Wear(lived=200.0, spent=many.spent), 1).spent[0] == Spent(2.0, 3)
