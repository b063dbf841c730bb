"""Maintenance of zram: whether now is a time for it, how much of it, and in what order. service/zramcare does it."""

from __future__ import annotations

from memd.early import Noun
from memd.model import Level
from memd.model_care import CareSettings

CLEARED_SINCE = (6, 13)  # from here on a new idle mark takes back the old ones
QUICK, SLOW = 0.05, 0.1  # seconds that one write(2) may take: readers of mm_stat wait for it
FIRST_STEP, MOST_STEP, LEAST_STEP = 1024, 65536, 64  # pages
ROUND = 60.0  # seconds that one round may take for one device
RETRY = 600.0  # seconds until a postponed round is tried again: nobody is idle then


class Mood(Noun):
    """The machine as maintenance sees it. None: not known here. `battery`: of a machine that runs on it."""

    level: Level = Level.NONE
    load: float | None = None
    battery: float | None = None


def postponed(settings: CareSettings, mood: Mood) -> str | None:
    """Why not now, in one sentence; None where nothing is against it."""
    if mood.level > Level.NONE:
        return f"memory pressure is {mood.level}"
    if mood.load is not None and mood.load > settings.load:
        return f"the load is {mood.load:.0%} of the processors, more than MaxLoad={settings.load:.0%}"
    if mood.battery is not None and mood.battery < settings.battery:
        return f"the battery is at {mood.battery:.0%}, below MinBattery={settings.battery:.0%}"
    return None


def writeback_size(settings: CareSettings, original: int, disksize: int, room: int, left: int) -> tuple[int, str]:
    """(bytes of this round, "") or (0, why not). As mmd has it: the fuller the device, the more of a round's most; never more than the
    backing device has `room` for, nor than is `left` of the day's budget; and less than a round's least is not worth it."""
    least, most = settings.writeback_round
    wanted = int(most * min(original / disksize, 1.0)) if disksize else 0
    size = min(wanted, room, left)
    if size >= least:
        return size, ""
    if left < least:
        return 0, f"the day's budget of WritebackDay= is used up ({left} bytes left)"
    if room < least:
        return 0, "the backing device is full"
    return 0, "too little is stored for a round to be worth it"


def next_step(pages: int, seconds: float) -> int:
    """How many pages the next step takes, after one of `pages` took `seconds`."""
    factor = 2.0 if seconds < QUICK else 0.5 if seconds > SLOW else 1.0
    return min(max(int(pages * factor), LEAST_STEP), MOST_STEP)


def release(text: str) -> tuple[int, int]:
    """`6.1.0-18-amd64` -> (6, 1); (0, 0) for what looks like no Linux."""
    digits = [part for part in text.replace("-", ".").split(".")[:2] if part.isascii() and part.isdigit()]
    return (int(digits[0]), int(digits[1])) if len(digits) == 2 else (0, 0)


def marks_stay(kernel: tuple[int, int]) -> bool:
    """Whether an idle mark of a shorter age is still there when a longer one is asked for: what is recompressed after two hours would then
    be written to flash."""
    return kernel < CLEARED_SINCE


def due(now: float, period: float) -> float:
    """Seconds from `now` to the next round: they fall on whole periods of the clock, so that what else is periodic can share the
    wake-up."""
    return period - now % period or period
