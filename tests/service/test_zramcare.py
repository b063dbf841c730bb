"""Maintenance over time: what a round does to a device, what it writes to flash, and when there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.early import replace
from memd.errors import Failed
from memd.kernel import clocks
from memd.model import Event, Level
from memd.model_care import CareSettings, CareStep
from memd.policy import zramcare as policy
from memd.service import careround, idlemarks, wear
from memd.service.careround import Round
from memd.service.idlemarks import IdleMarks
from memd.service.wear import WearBook
from memd.service.zramcare import ZramCare
from tests.service.fakezram import PAGE, FakeZram

Put = Callable[[str, str | bytes], None]
HOUR = 3600.0
M = 1 << 20
SETTINGS = CareSettings(writeback_round=(M, 8 * M), writeback_day=12 * M)


class Clock:
    """Both clocks of the kernel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boot = self.up = 100 * HOUR
        monkeypatch.setattr(clocks, "since_boot", lambda: self.boot)
        monkeypatch.setattr(clocks, "awake", lambda: self.up)

    def passes(self, awake: float, asleep: float = 0.0) -> None:
        self.up += awake
        self.boot += awake + asleep


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def kernel(tmp_path: Path, put: Put) -> FakeZram:
    return FakeZram(str(tmp_path), put)


class Rounds:
    """Rounds on one device, as ZramCare has them."""

    def __init__(self, kernel: FakeZram, settings: CareSettings = SETTINGS, release: tuple[int, int] = (7, 3)) -> None:
        self.kernel, self.settings, self.calm = kernel, settings, True
        self.book = WearBook(kernel)
        self.marks = IdleMarks(kernel, settings, stay=policy.marks_stay(release))

    def run(self) -> dict[str, CareStep]:
        self.marks.sample()
        round_ = Round(
            root=self.kernel,
            settings=self.settings,
            book=self.book,
            marks=self.marks,
            calm=lambda: self.calm,
            kernel=(7, 3),
        )
        return {step.work: step for step in round_.run("zram0")}


def test_a_round(kernel: FakeZram, clock: Clock) -> None:
    steps = Rounds(kernel).run()

    assert steps["writeback"].written == 8 * M
    assert kernel.written * PAGE == 8 * M
    assert kernel.fresh == 0
    assert [work for work, step in steps.items() if step.skipped] == []
    assert steps["recompress"].after < steps["recompress"].before
    assert kernel.limit == 0


def test_the_ages_are_those_of_free_memory(kernel: FakeZram, clock: Clock) -> None:
    Rounds(kernel).run()

    assert [text for name, text in kernel.log if name == "idle"] == ["90000", "14400"]


def test_each_write_is_bounded(kernel: FakeZram, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "next_step", lambda _pages, _seconds: policy.FIRST_STEP)

    Rounds(kernel).run()

    assert kernel.most_at_once == policy.FIRST_STEP


def test_the_day_is_kept_across_rounds_and_restarts(kernel: FakeZram, clock: Clock) -> None:
    first = Rounds(kernel)
    written = [first.run()["writeback"].written, first.run()["writeback"].written]
    clock.passes(HOUR)
    second = Rounds(kernel)
    steps = second.run()

    assert written == [8 * M, 4 * M]
    assert "WritebackDay= is used up" in steps["writeback"].skipped
    assert kernel.written * PAGE == 12 * M
    clock.passes(1, asleep=24 * HOUR)
    assert second.run()["writeback"].written == 8 * M


def test_a_power_cut_in_a_round_counts_all_that_was_promised(kernel: FakeZram, clock: Clock) -> None:
    book = WearBook(kernel)
    assert book.left(12 * M, used_before=False) == 12 * M
    book.promise(8 * M, 12 * M)

    assert WearBook(kernel).left(12 * M, used_before=True) == 4 * M


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        '{"lived": NaN, "boot": "a", "since_boot": 0, "spent": []}',
        '{"lived": 0, "boot": "a", "since_boot": 0, "spent": [{}]}',
        '{"lived": 0, "boot": "a", "since_boot": 0, "spent": [{"at": 0, "size": -5, "open": false}]}',
    ],
)
def test_books_that_make_no_sense_leave_nothing_for_today(kernel: FakeZram, put: Put, clock: Clock, text: str) -> None:
    put(wear.NAME, text)
    book = WearBook(kernel)

    assert book.left(M, used_before=False) == 0
    assert "makes no sense" in book.trouble


def test_books_that_are_gone_while_something_was_written(kernel: FakeZram, clock: Clock) -> None:
    book = WearBook(kernel)

    assert book.left(M, used_before=True) == 0
    assert "is gone" in book.trouble
    clock.passes(24 * HOUR + 1)
    assert book.left(M, used_before=True) == M


def test_what_is_kept_comes_back(kernel: FakeZram, clock: Clock, tmp_path: Path) -> None:
    book = WearBook(kernel)
    book.left(12 * M, used_before=False)
    book.promise(M, 12 * M)
    book.settle(1000)

    kept = wear.parse((tmp_path / wear.NAME).read_text())
    assert [entry.size for entry in kept.spent] == [1000]
    assert (tmp_path / wear.NAME).stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / wear.NAME).read_text())["boot"] == "a"


def test_nothing_is_written_back_where_the_budget_cant_be_kept(kernel: FakeZram, put: Put, clock: Clock) -> None:
    put("var/lib", "a file")
    step = Rounds(kernel).run()["writeback"]

    assert (step.written, kernel.written, step.failed) == (0, 0, True)
    assert "can't be kept" in step.skipped
    with pytest.raises(Failed):
        WearBook(kernel).promise(0, M)


def test_a_backing_device_that_vanishes(kernel: FakeZram, clock: Clock) -> None:
    kernel.gone = True
    rounds = Rounds(kernel)
    step = rounds.run()["writeback"]

    assert (kernel.written, step.failed) == (0, True)
    assert "can't be written" in step.skipped
    assert rounds.book.left(12 * M, used_before=True) < 12 * M  # what failed may have worn it
    assert kernel.limit == 0


def test_a_backing_device_that_is_full(kernel: FakeZram, clock: Clock) -> None:
    kernel.room = 500
    step = Rounds(kernel).run()["writeback"]

    assert (step.skipped, step.failed) == ("the backing device is full", False)
    assert kernel.written == 500


def test_it_ends_when_the_machine_gets_busy(kernel: FakeZram, clock: Clock) -> None:
    rounds = Rounds(kernel)
    rounds.calm = False
    steps = rounds.run()

    assert {step.skipped for step in steps.values()} == {"the machine got busy"}
    assert (kernel.written, kernel.fresh, kernel.limit) == (0, 10_000, 0)
    assert rounds.book.left(12 * M, used_before=True) == 12 * M


def test_nothing_stored_is_nothing_told(tmp_path: Path, put: Put, clock: Clock) -> None:
    assert Rounds(FakeZram(str(tmp_path), put, pages=0)).run() == {}


def test_a_machine_that_has_slept_waits(kernel: FakeZram, clock: Clock) -> None:
    clock.up = 3 * HOUR
    clock.boot = 200 * HOUR
    steps = Rounds(kernel).run()

    assert steps["writeback"].skipped == steps["recompress"].skipped == idlemarks.NOT_AWAKE
    assert kernel.log == [("compact", "1")]


def test_an_older_kernels_marks_are_only_made_for_writeback(kernel: FakeZram, clock: Clock) -> None:
    Rounds(kernel, release=(6, 12)).run()

    assert [text for name, text in kernel.log if name == "idle"] == ["90000", "90000"]


def test_without_writeback_an_older_kernel_recompresses_sooner(kernel: FakeZram, clock: Clock) -> None:
    Rounds(kernel, replace(SETTINGS, writeback=False), release=(6, 12)).run()

    assert [text for name, text in kernel.log if name == "idle"] == ["14400"]


def test_without_access_times_marks_are_looked_at_later(tmp_path: Path, put: Put, clock: Clock) -> None:
    kernel = FakeZram(str(tmp_path), put, times=False)
    rounds = Rounds(kernel)

    first = rounds.run()
    assert (first["writeback"].skipped, first["recompress"].skipped) == (idlemarks.MARKED, idlemarks.WAITS)
    clock.passes(5 * HOUR, asleep=100 * HOUR)
    second = rounds.run()
    assert (second["writeback"].skipped, second["recompress"].skipped) == (idlemarks.WAITS, "")
    assert (kernel.written, kernel.fresh) == (0, 0)
    clock.passes(20 * HOUR)
    assert rounds.run()["writeback"].written == 8 * M
    assert rounds.run()["writeback"].skipped == idlemarks.MARKED
    assert [text for name, text in kernel.log if name == "idle" and text == "all"] == ["all", "all"]


def test_a_kernel_without_any_of_it(tmp_path: Path, put: Put, clock: Clock) -> None:
    kernel = FakeZram(str(tmp_path), put)
    for name in ("recomp_algorithm", "backing_dev", "compact"):
        (tmp_path / "sys/block/zram0" / name).unlink()

    assert Rounds(kernel).run() == {}
    assert kernel.log == []


def test_a_device_that_goes_meanwhile(kernel: FakeZram, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "sys/block/zram0/mm_stat").unlink()

    assert all(step.skipped for step in Rounds(kernel).run().values())


class Care:
    """ZramCare on a fake kernel; `events` are those of the journal."""

    def __init__(self, kernel: FakeZram, settings: CareSettings) -> None:
        self.level = Level.NONE
        self.events: list[Event] = []
        self.care = ZramCare(kernel, settings, self.events.append, lambda: self.level)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not happened():
                await asyncio.sleep(0.01)


NOW = replace(SETTINGS, first=0.0)


async def test_rounds_come_by_themselves_and_are_told(kernel: FakeZram, clock: Clock) -> None:
    care = Care(kernel, NOW)
    care.care.start()
    await care.until(lambda: len(care.events) == 3 and "next" in care.care.status())

    assert [event.fields["MEMD_WORK"] for event in care.events] == ["writeback", "recompress", "compact"]
    assert care.events[0].fields["MEMD_WRITTEN"] == 8 * M
    assert "zram0: writeback: " in care.events[0].message
    facts = care.care.status()
    assert facts["day_left"] == 4 * M
    assert 0 < float(str(facts["next"])) <= HOUR
    assert [won["work"] for won in care.care.won("zram0")] == ["writeback", "recompress", "compact"]
    await care.care.stop()


@pytest.mark.parametrize(("level", "load"), [(Level.MEDIUM, "0.00"), (Level.NONE, "999.00")])
async def test_a_busy_machine_is_left_alone(kernel: FakeZram, put: Put, clock: Clock, level: Level, load: str) -> None:
    put("proc/loadavg", f"{load} 0.00 0.00 1/2 3\n")
    care = Care(kernel, NOW)
    care.level = level
    care.care.start()
    await care.until(lambda: "postponed" in care.care.status() and "next" in care.care.status())

    assert kernel.log == []
    assert float(str(care.care.status()["next"])) <= policy.RETRY
    await care.care.stop()


async def test_without_zram_nothing_is_done_and_nobody_wakes_up(kernel: FakeZram, put: Put, clock: Clock) -> None:
    care = Care(kernel, NOW)
    put("proc/swaps", "Filename Type Size Used Priority\n")
    care.care.start()
    await asyncio.sleep(0.05)
    await care.until(lambda: care.care.waits_for_zram)

    assert "next" not in care.care.status()
    care.care.swaps_changed(zram_is_swap=True)
    assert "next" in care.care.status()
    await care.care.stop()


async def test_disabled_is_no_timer(kernel: FakeZram) -> None:
    care = Care(kernel, replace(NOW, enabled=False))
    care.care.start()

    assert "next" not in care.care.status()
    await care.care.stop()


async def test_a_reload_does_not_start_one_round_after_another(kernel: FakeZram, clock: Clock) -> None:
    care = Care(kernel, NOW)
    care.care.start()
    await care.until(lambda: "next" in care.care.status() and len(care.events) == 3)
    written = kernel.written
    care.care.configure(replace(NOW, compact=False))
    await asyncio.sleep(0.1)
    await care.until(lambda: "next" in care.care.status())

    assert kernel.written == written
    assert len(care.events) == 3
    await care.care.stop()


async def test_stopping_ends_a_round_after_its_step(
    kernel: FakeZram, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "next_step", lambda _pages, _seconds: 64)
    monkeypatch.setattr(policy, "FIRST_STEP", 64)
    care = Care(kernel, NOW)
    care.care.start()
    await care.until(lambda: kernel.written > 0)

    await care.care.stop()

    assert kernel.limit == 0


async def test_a_round_that_fails_costs_only_itself(
    kernel: FakeZram, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_round: Round, _name: str) -> list[CareStep]:
        raise ZeroDivisionError

    monkeypatch.setattr(careround.Round, "run", fail)
    care = Care(kernel, NOW)
    care.care.start()
    await care.until(lambda: "next" in care.care.status() and bool(caplog.records))

    assert "maintenance of zram failed" in caplog.text
    await care.care.stop()
