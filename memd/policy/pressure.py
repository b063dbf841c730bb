"""Pressure levels: which stalls mean one, how long it lasts, and what to think where the kernel tells of no stalls.

The kernel says when a stall crosses a threshold, never when it is over. So a level goes up at once with the event of a trigger, and
one step down after `relief` seconds without an event of its own or of a higher level. Between two changes lies the hold time at least,
so a burst of events is one rise, and at most two. A deadline exists only while a level is up: at none, nothing has to wake up.

Stalls alone do not tell how near the end is. So a stall counts as the level that what is left (RAM, and swap that zram can really still
take) would mean, if that is more; and a level is not given back while pages that were just taken away come back in masses. Neither
makes a level by itself: little free memory without a stall is no pressure.

Why these thresholds: `some` is the share of time in which at least one task waits for memory, `full` the share in which nothing
useful runs. systemd's default for services is some 100-200 ms of a second, low-memory-monitor warns at some 70 ms, some 100 ms and
full 100 ms, ChromeOS acts at some 200 ms, full 50 ms and full 500 ms, systemd-oomd kills at 60 % over 30 s. memd's `low` is the
earliest that is no noise, `medium` a machine that a person feels, and `critical` leaves time to act before a killer does.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from memd.early import MemInfo, Noun, replace
from memd.model import Level, PressureSettings, Refaults, SwapFill, Trigger

DEFAULT_TRIGGERS = (
    Trigger("some", 0.1, 1.0, Level.LOW),
    Trigger("some", 0.25, 1.0, Level.MEDIUM),
    Trigger("full", 0.1, 1.0, Level.CRITICAL),
)
DEFAULT_RELIEF = 4.0
DEFAULT_HOLD = 0.5
UNPRIVILEGED_WINDOW = 2.0
POLL_EVERY = 10.0
# Free share of RAM, and of swap that can still be taken, below which a poll sees a level (GLib polls with 40, 30 and 20 % of RAM
# alone, earlyoom acts at 10 % of both).
POLL_LEVELS = ((0.05, Level.CRITICAL), (0.1, Level.MEDIUM), (0.2, Level.LOW))


# Share of RAM per second that comes back after it was taken (ChromeOS' resourced takes 10 MiB), and how often that puts a relief off.
THRASHING = 0.01
PUT_OFF_MOST = 3


class Pressure(Noun):
    """The level, since when it has had no event (of its own level or above), when it changed last, the higher level that waits for the
    end of the hold time, and how often in a row its relief was put off."""

    level: Level = Level.NONE
    quiet_since: float = 0.0
    changed: float = -math.inf
    waiting: Level = Level.NONE
    put_off: int = 0


def heard(now: Pressure, level: Level, time: float, hold: float = 0.0) -> Pressure:
    """A trigger that means `level` spoke: up at once, or at the end of the hold time; an event below the level changes nothing."""
    if level < now.level or level is Level.NONE:
        return now
    if level is now.level:
        return replace(now, quiet_since=time, put_off=0)
    if time < now.changed + hold:
        return replace(now, waiting=max(level, now.waiting))
    return Pressure(level, time, time)


def deadline(now: Pressure, relief: float, hold: float = 0.0) -> float | None:
    """When to ask `due`; None while nothing is up."""
    if now.waiting:
        return now.changed + hold
    return None if now.level is Level.NONE else now.quiet_since + relief


def due(
    now: Pressure,
    levels: Collection[Level],
    settings: PressureSettings,
    time: float,
    thrashing: bool = False,  # noqa: FBT001, FBT002 (a fact, as read)
) -> Pressure:
    """What has come due: the rise that waited; else, if it was quiet long enough, one step down to the next of `levels` (those that have
    a trigger) or none, and a new wait begins. While pages come back as fast as they go the step is put off, a few times at the most."""
    when = deadline(now, settings.relief, settings.hold)
    if when is None or time < when:
        return now
    if now.waiting:
        return Pressure(now.waiting, time, time)
    if thrashing and now.put_off < PUT_OFF_MOST:
        return replace(now, quiet_since=time, put_off=now.put_off + 1)
    return Pressure(max((level for level in levels if level < now.level), default=Level.NONE), time, time)


def thrashing(before: Refaults | None, now: Refaults | None, total: int) -> bool:
    """Whether pages that were just taken come back at THRASHING of RAM per second. False where a look is missing, or the counter went
    back: who knows nothing puts nothing off."""
    if before is None or now is None or now.time <= before.time or now.size < before.size:
        return False
    return (now.size - before.size) / (now.time - before.time) >= THRASHING * total


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
    """The level that what is left would mean: for a stall, and where no PSI is. It goes by the better supplied of RAM and swap, so full
    swap with free RAM is no pressure."""
    free = memory.available / memory.total
    if swap and swap.size:
        free = max(free, 1 - swap.fraction)
    return next((level for share, level in POLL_LEVELS if free < share), Level.NONE)
