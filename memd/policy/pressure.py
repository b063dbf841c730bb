"""Pressure levels: which stalls mean one, how long it lasts, and what to think where the kernel tells of no stalls.

The kernel says when a stall crosses a threshold, never when it is over. So a level goes up at once with the event of a trigger, and
one step down after `relief` seconds without an event of its own or of a higher level. A deadline exists only while a level is up:
at none, nothing has to wake up.

Why these thresholds: `some` is the share of time in which at least one task waits for memory, `full` the share in which nothing
useful runs. systemd's default for services is some 100-200 ms of a second, low-memory-monitor warns at some 70 ms, some 100 ms and
full 100 ms, ChromeOS acts at some 200 ms, full 50 ms and full 500 ms, systemd-oomd kills at 60 % over 30 s. memd's `low` is the
earliest that is no noise, `medium` a machine that a person feels, and `critical` leaves time to act before a killer does.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from memd.early import MemInfo
from memd.model import Level, PressureSettings, SwapFill, Trigger

DEFAULT_TRIGGERS = (
    Trigger("some", 0.1, 1.0, Level.LOW),
    Trigger("some", 0.25, 1.0, Level.MEDIUM),
    Trigger("full", 0.1, 1.0, Level.CRITICAL),
)
DEFAULT_RELIEF = 4.0
UNPRIVILEGED_WINDOW = 2.0
POLL_EVERY = 10.0
# Free share of RAM, and of swap that can still be taken, below which a poll sees a level (GLib polls with 40, 30 and 20 % of RAM
# alone, earlyoom acts at 10 % of both).
POLL_LEVELS = ((0.05, Level.CRITICAL), (0.1, Level.MEDIUM), (0.2, Level.LOW))


@dataclass(frozen=True, slots=True)
class Pressure:
    """The level, and since when it has had no event (of its own level or above)."""

    level: Level = Level.NONE
    quiet_since: float = 0.0


def heard(now: Pressure, level: Level, time: float) -> Pressure:
    """A trigger that means `level` spoke: up at once; an event below the level changes nothing."""
    return Pressure(level, time) if level >= now.level and level > Level.NONE else now


def deadline(now: Pressure, relief: float) -> float | None:
    """When to ask `relieved`; None while nothing is up."""
    return None if now.level is Level.NONE else now.quiet_since + relief


def relieved(now: Pressure, levels: Collection[Level], relief: float, time: float) -> Pressure:
    """One step down if it was quiet long enough, to the next of `levels` (those that have a trigger) or none; then a new wait begins."""
    due = deadline(now, relief)
    if due is None or time < due:
        return now
    return Pressure(max((level for level in levels if level < now.level), default=Level.NONE), time)


def unprivileged(settings: PressureSettings) -> PressureSettings:
    """The same shares of time over windows that the kernel takes without CAP_SYS_RESOURCE; such a trigger may speak a window late."""
    triggers = tuple(map(_stretched, settings.triggers))
    longest = max((trigger.window for trigger in triggers), default=0.0)
    return replace(settings, triggers=triggers, relief=max(settings.relief, 2 * longest))


def _stretched(trigger: Trigger) -> Trigger:
    window = math.ceil(trigger.window / UNPRIVILEGED_WINDOW) * UNPRIVILEGED_WINDOW
    return replace(trigger, stall=trigger.stall / trigger.window * window, window=window)


def polled(settings: PressureSettings) -> PressureSettings:
    """For a machine that is asked every POLL_EVERY seconds: one missed poll is no relief yet."""
    return replace(settings, triggers=(), relief=max(settings.relief, 1.5 * POLL_EVERY))


def judge(memory: MemInfo, swap: SwapFill | None) -> Level:
    """The level where no PSI is: what is short is the better supplied of RAM and swap, so full swap with free RAM is no pressure."""
    free = memory.available / memory.total
    if swap and swap.size:
        free = max(free, 1 - swap.fraction)
    return next((level for share, level in POLL_LEVELS if free < share), Level.NONE)
