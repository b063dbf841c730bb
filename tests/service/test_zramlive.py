"""Live changes as the daemon sees them: the helper is a fake that says what the real one would (tests/host has the real one)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from memd.early import ZramSettings
from memd.errors import Busy, InvalidArgs, NoMemory, PressureTooHigh
from memd.kernel.root import Root
from memd.model import Event, Level
from memd.names import MESSAGE_ZRAM_CHANGED
from memd.service.jobs import Jobs
from memd.service.zramlive import NO_WORD, ZramLive

pytestmark = pytest.mark.usefixtures("no_task_left")


class Files:
    words: tuple[str, ...] = ("--config", "/x.conf")

    def devices(self) -> tuple[ZramSettings, ...]:
        return (ZramSettings(size="2G"),)

    def check(self, given: Mapping[str, str]) -> dict[str, str]:
        if "Sise" in given:
            raise InvalidArgs("there is no key 'Sise'")
        return dict(given)


class Helper:
    """`says`: the lines of each run. `runs`: the words that each was given."""

    says: tuple[str, ...] = ("progress 0.5", "done zram0 -> zram1: size 1G -> 2G")
    status = 0

    def __init__(self, runs: list[list[str]], words: list[str]) -> None:
        runs.append(words)
        self.stopped = False

    async def run(self, told: Callable[[str], None]) -> int:
        for line in self.says:
            told(line)
        return self.status

    def stop(self) -> None:
        self.stopped = True


class Bench:
    def __init__(self, root: Root) -> None:
        self.events: list[Event] = []
        self.runs: list[list[str]] = []
        self.level = Level.NONE
        self.jobs = Jobs()
        self.live = ZramLive(root, Files(), self.jobs, lambda: self.level, self.events.append, self.helper)  # type: ignore[arg-type]
        self.live.devices = (ZramSettings(),)

    def helper(self, _root: Root, _unit: str, words: list[str]) -> Helper:
        return Helper(self.runs, words)


@pytest.fixture
def bench(root: Root, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(Helper, "says", Helper.says)
    return Bench(root)


async def test_done(bench: Bench, root: Root) -> None:
    job = bench.live.set("zram0", {"Size": "2G"})
    with pytest.raises(Busy):
        bench.live.set("zram0", {"Size": "3G"})
    await bench.jobs.wait(job.number)

    assert (job.state, job.message) == ("done", "zram0 -> zram1: size 1G -> 2G")
    words = [
        "--change-swap",
        "zram0",
        "--keys",
        "",
        "--settings",
        "Size=2G",
        "--config",
        "/x.conf",
        "--root",
        root.directory,
    ]
    assert bench.runs == [words]
    assert bench.live.devices == Files().devices()
    (event,) = bench.events
    assert (event.message_id, event.fields["MEMD_JOB_STATE"]) == (MESSAGE_ZRAM_CHANGED, "done")


@pytest.mark.parametrize(
    ("says", "state", "message"),
    [
        (("failed NoMemory too little",), "failed", "too little"),
        (("progress x", "failed Failed swapoff of zram0: no"), "failed", "swapoff of zram0: no"),
        (("cancelled as before: zram0 is swap",), "cancelled", "as before: zram0 is swap"),
        (("progress 0.4",), "failed", NO_WORD.format(0)),
        (("failed PREFIX what",), "failed", "what"),
    ],
)
async def test_not_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, says: tuple[str, ...], state: str, message: str
) -> None:
    monkeypatch.setattr(Helper, "says", says)
    job = bench.live.set("zram0", {"Size": "2G"})
    await bench.jobs.wait(job.number)

    assert (job.state, job.message) == (state, message)
    assert bench.events[0].priority == (5 if state == "cancelled" else 4)


async def test_refused_before_it_begins(bench: Bench) -> None:
    with pytest.raises(InvalidArgs, match="Sise"):
        bench.live.set("zram0", {"Sise": "1G"})
    bench.level = Level.MEDIUM
    with pytest.raises(PressureTooHigh, match="medium"):
        bench.live.set("zram0", {"Size": "1G"})
    job = bench.live.set("zram0", {"Size": "1G"}, force=True)
    await bench.jobs.wait(job.number)
    assert job.state == "done"


def configuration(*devices: ZramSettings) -> Any:
    class Configuration:
        zrams = devices

    return Configuration()


async def test_a_reload_changes_what_changed_one_after_the_other(bench: Bench) -> None:
    new = ZramSettings(name="slow", size="1G")

    (job,) = bench.live.configure(configuration(ZramSettings(priority=5), new))
    await bench.jobs.wait(job.number)

    assert [run[:4] for run in bench.runs] == [
        ["--change-swap", "[Zram]", "--keys", "Priority"],
        ["--change-swap", "[Zram slow]", "--keys", "Size"],
    ]
    assert job.message.count("; ") == 1
    assert bench.live.configure(configuration(ZramSettings(priority=5), new)) == []


async def test_a_reload_under_pressure_says_so_and_changes_nothing(bench: Bench) -> None:
    bench.level = Level.CRITICAL

    assert bench.live.configure(configuration(ZramSettings(priority=5))) == []
    assert bench.runs == []
    assert "memory pressure is critical" in bench.events[0].message


class Slow(Helper):
    """Drains until it is stopped."""

    async def run(self, told: Callable[[str], None]) -> int:
        while not self.stopped:
            await asyncio.sleep(0)
        told("cancelled as before: zram0 is swap")
        return 1


async def test_pressure_that_becomes_critical_meanwhile_backs_out(bench: Bench) -> None:
    bench.live._helper = lambda _root, _unit, words: Slow(bench.runs, words)  # type: ignore[assignment,return-value]
    job = bench.live.set("zram0", {"Size": "2G"})
    await asyncio.sleep(0.01)
    bench.live.moved(Level.MEDIUM, Level.NONE)
    await asyncio.sleep(0.01)
    assert job.state == "running"
    bench.live.moved(Level.CRITICAL, Level.MEDIUM)
    await bench.jobs.wait(job.number)

    assert job.state == "failed"
    assert job.message.startswith("memory pressure became critical meanwhile; as before: zram0 is swap")
    assert bench.events[-1].priority == 4


async def test_one_that_is_forced_goes_on(bench: Bench) -> None:
    helper = Slow(bench.runs, [])
    bench.live._helper = lambda *_: helper  # type: ignore[assignment]
    job = bench.live.set("zram0", {"Size": "2G"}, force=True)
    await asyncio.sleep(0.01)
    bench.live.moved(Level.CRITICAL, Level.MEDIUM)
    assert not helper.stopped
    helper.stop()
    await bench.jobs.wait(job.number)
    assert job.state == "cancelled"


async def test_a_section_that_has_gone_or_is_off_is_drained(bench: Bench) -> None:
    slow, other = ZramSettings(name="slow", size="1G"), ZramSettings(name="other", size="1G")
    bench.live.devices = (ZramSettings(), slow, other)

    (job,) = bench.live.configure(configuration(ZramSettings(), ZramSettings(name="other", enabled=False)))
    await bench.jobs.wait(job.number)

    assert [run[:4] for run in bench.runs] == [
        ["--change-swap", "[Zram slow]", "--keys", "Gone"],
        ["--change-swap", "[Zram other]", "--keys", "Gone"],
    ]


async def test_the_first_section_is_not_switched_off(bench: Bench) -> None:
    assert bench.live.configure(configuration(ZramSettings(enabled=False))) == []


async def test_disabled_is_left_alone(bench: Bench) -> None:
    assert bench.live.configure(configuration(ZramSettings(enabled=False, size="1G"))) == []


async def test_what_was_cut_short_is_ended_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.live, "_doubled", lambda: [""])
    helper = Slow(bench.runs, [])
    bench.live._helper = lambda *_: helper  # type: ignore[assignment]
    (job,) = await bench.live.finish_what_was_cut_short()
    assert await bench.live.finish_what_was_cut_short() == []  # it is being done
    helper.stop()
    await bench.jobs.wait(job.number)
    assert [job.number] == list(bench.jobs.jobs)


async def test_nothing_was_cut_short_on_a_machine_without_zram(bench: Bench, root: Root) -> None:
    assert await bench.live.finish_what_was_cut_short() == []


def test_names_of_errors_are_those_of_the_bus() -> None:
    assert NoMemory.bus_name.endswith("NoMemory")
