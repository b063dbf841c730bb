"""memctl pressure --history: the levels of the last hours, out of the journal. Needs no memd, and a reader's right to the journal.

Anybody can log with memd's MESSAGE_ID. What counts was written by root in memd's own unit: fields that the journal itself sets.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from memd import names
from memd.cli import common, exits
from memd.cli.render import Look
from memd.cli.spark import ASCII, BLOCKS
from memd.cli.status import LEVEL_COLOURS
from memd.errors import Failed
from memd.units import format_seconds

if TYPE_CHECKING:
    from systemd.journal import Reader

UNIT = "memd.service"
LEVELS = ("none", "low", "medium", "critical")
HEIGHTS = (0, 2, 4, 7)  # of the eight steps of a sparkline
MOST = 100_000


class Change(NamedTuple):
    """`time`: seconds of CLOCK_REALTIME."""

    time: float
    level: str
    previous: str


def run(arguments: argparse.Namespace) -> int:
    end = time.time()
    changes = read(end - arguments.history)
    if arguments.json:
        common.print_json([change._asdict() for change in changes])
    else:
        print(text(changes, end - arguments.history, end, common.look()), end="")
    return exits.FINE


def matches() -> tuple[str, ...]:
    return (f"MESSAGE_ID={names.MESSAGE_PRESSURE}", f"_SYSTEMD_UNIT={UNIT}", "_UID=0")


def read(since: float, reader: Callable[[], Reader] | None = None) -> list[Change]:
    """Failed where there is no library, or no journal that may be read."""
    try:
        from systemd import journal
    except ImportError:
        raise Failed("the history needs python3-systemd; install it, or use journalctl") from None
    try:
        with (reader or journal.Reader)() as entries:
            for match in matches():
                entries.add_match(match)
            entries.seek_realtime(since)
            return changes(entries, since)
    except OSError as error:
        raise Failed(
            f"the journal can't be read: {error.strerror}; become a member of group systemd-journal"
        ) from error


def changes(entries: Iterable[Mapping[str, Any]], since: float) -> list[Change]:
    """Of memd's own entries; one that makes no sense is left out."""
    found = []
    for entry, _ in zip(entries, range(MOST), strict=False):
        level, previous, when = (entry.get(key) for key in ("MEMD_LEVEL", "MEMD_PREVIOUS", "__REALTIME_TIMESTAMP"))
        if level in LEVELS and previous in LEVELS and isinstance(when, dt.datetime) and when.timestamp() >= since:
            found.append(Change(when.timestamp(), str(level), str(previous)))
    return found


def cells(changes: Sequence[Change], begin: float, end: float, width: int) -> list[int]:
    """The highest level of each of `width` parts of the time."""
    part = (end - begin) / width
    level = LEVELS.index(changes[0].previous) if changes else 0
    found, at = [], 0
    for cell in range(width):
        highest = level
        while at < len(changes) and changes[at].time < begin + (cell + 1) * part:
            level = LEVELS.index(changes[at].level)
            highest = max(highest, level)
            at += 1
        found.append(highest)
    return found


def spent(changes: Sequence[Change], begin: float, end: float) -> dict[str, float]:
    """Seconds in each level."""
    total = dict.fromkeys(LEVELS, 0.0)
    level, last = (changes[0].previous if changes else "none"), begin
    for change in changes:
        total[level] += change.time - last
        level, last = change.level, change.time
    total[level] += end - last
    return total


def text(changes: Sequence[Change], begin: float, end: float, look: Look) -> str:
    """A line of bars, the times at its ends, and the time in each level."""
    width = min((look.width or 80) - 2, 120)
    steps = BLOCKS if look.unicode else ASCII
    bars = "".join(
        look.paint(steps[HEIGHTS[level]], LEVEL_COLOURS[LEVELS[level]]) for level in cells(changes, begin, end, width)
    )
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.localtime(when)) for when in (begin, end))
    axis = f"{first}{last:>{max(width - len(first), len(last) + 1)}}"
    told = ", ".join(
        f"{level} {format_seconds(round(seconds))}"
        for level, seconds in spent(changes, begin, end).items()
        if seconds >= 1
    )
    return f"{bars}\n{axis}\n{told}; {common.plural(len(changes), 'change')}\n"
