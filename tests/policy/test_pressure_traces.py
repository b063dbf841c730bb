"""Recorded machines: PSI and meminfo in, levels out. Recorded by record_trace.py; the golden changes stand beside each trace.

The kernel's triggers are played from the totals: an event where the stall of the last window reaches the threshold, at most one in a
window (kernel/sched/psi.c looks ten times in a window, the traces have some fifteen samples in it).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from memd.early import MemInfo
from memd.model import Level, PressureSettings, Refaults, SwapFill, Trigger
from memd.policy import pressure
from memd.policy.pressure import Pressure

TRACES = sorted((Path(__file__).parent / "traces").glob("*.jsonl"))
SETTINGS = PressureSettings(pressure.DEFAULT_TRIGGERS, pressure.DEFAULT_RELIEF, hold=pressure.DEFAULT_HOLD)
PAGE = 4096


@dataclass
class Sample:
    time: float
    totals: dict[str, int]
    memory: MemInfo
    swap: SwapFill | None
    refaults: Refaults


def read(path: Path) -> list[Sample]:
    samples = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        memory = MemInfo(
            total=row["MemTotal"], available=row["MemAvailable"], free=0, swap_total=row["SwapTotal"], swap_free=row["SwapFree"]
        )  # fmt: skip
        used = row["SwapTotal"] - row["SwapFree"]
        swap = SwapFill(row["SwapTotal"], used, 0, row["SwapFree"]) if row["SwapTotal"] else None
        totals = {kind: row[kind] for kind in ("some", "full")}
        samples.append(Sample(row["time"], totals, memory, swap, Refaults(row["time"], row["refaults"] * PAGE)))
    return samples


def events(samples: list[Sample], trigger: Trigger) -> set[int]:
    """Indices of the samples at which the trigger speaks."""
    spoke, told, start = -trigger.window, set(), 0
    for index, sample in enumerate(samples):
        while samples[start].time < sample.time - trigger.window:
            start += 1
        growth = (sample.totals[trigger.kind] - samples[start].totals[trigger.kind]) / 1e6
        if growth >= trigger.stall and sample.time >= spoke + trigger.window:
            spoke = sample.time
            told.add(index)
    return told


def play(samples: list[Sample]) -> list[tuple[float, str]]:
    """The changes of level, as memd's watch would judge them; on for a minute after the trace."""
    spoken = {trigger.level: events(samples, trigger) for trigger in SETTINGS.triggers}
    now, before, changes = Pressure(), samples[0].refaults, []

    def note(time: float, after: Pressure) -> Pressure:
        if after.level is not now.level:
            changes.append((round(time, 1), str(after.level)))
        return after

    for index, sample in enumerate(samples):
        when = pressure.deadline(now, SETTINGS.relief, SETTINGS.hold)
        if when is not None and sample.time >= when:
            thrashing = pressure.thrashing(before, sample.refaults, sample.memory.total)
            before = sample.refaults
            now = note(sample.time, pressure.due(now, tuple(Level)[1:], SETTINGS, sample.time, thrashing))
        stall = max((level for level, at in spoken.items() if index in at), default=Level.NONE)
        if stall:
            weighed = max(stall, pressure.judge(sample.memory, sample.swap))
            now = note(sample.time, pressure.heard(now, weighed, sample.time, SETTINGS.hold))
    for _ in range(3):
        when = pressure.deadline(now, SETTINGS.relief, SETTINGS.hold)
        now = note(when, pressure.due(now, tuple(Level)[1:], SETTINGS, when)) if when is not None else now
    return changes


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    changes = play(read(path))

    assert [list(change) for change in changes] == json.loads(path.with_suffix(".golden").read_text())
    assert not changes or changes[-1][1] == "none"
    times = [time for time, _ in changes]
    assert all(b - a >= SETTINGS.hold - 0.1 for a, b in itertools.pairwise(times))


def test_there_are_traces() -> None:
    assert len(TRACES) >= 4


if __name__ == "__main__":  # write the golden files anew, to be looked at
    for trace in TRACES:
        trace.with_suffix(".golden").write_text(json.dumps(play(read(trace))) + "\n")
