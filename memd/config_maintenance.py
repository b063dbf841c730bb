"""The [Maintenance] section: what keeps zram in shape over days. The defaults are those of Android's mmd and of ChromeOS."""

from __future__ import annotations

from collections.abc import Callable

from memd import config_keys, units
from memd.config_keys import Key, Section, boolean
from memd.config_values import seconds
from memd.early import Finding
from memd.errors import MemdError
from memd.ini import Ini
from memd.model_care import CareSettings

HOUR, DAY = 3600.0, 24 * 3600.0
T = float


def _pair(parse: Callable[[str], T], example: str) -> Callable[[str], tuple[T, T]]:
    """A parser of a least and a most."""

    def read(text: str) -> tuple[T, T]:
        words = text.split()
        if len(words) != 2:
            raise MemdError(f"{text!r}: write two values, the least and the most, as in {example}")
        least, most = map(parse, words)
        if least > most:
            raise MemdError(f"{text!r}: the least comes first, as in {example}")
        return least, most

    return read


def _threshold(text: str) -> int:
    size = units.parse_size(text)
    if not 1 <= size <= 3072:
        raise MemdError(f"{text!r} is out of range; write a size from 1B to 3K, which is less than a page")
    return size


def _round(text: str) -> tuple[int, int]:
    least, most = _pair(units.parse_size, "5M 300M")(text)
    if least < 1 << 20:
        raise MemdError(f"{text!r}: less than 1M is not worth a round; write it like 5M 300M")
    return int(least), int(most)


def _above_nothing(text: str) -> float:
    share = units.parse_percent(text)
    if not share:
        raise MemdError(f"{text!r} would never be met; write a share like 50%, or 100% for any")
    return share


_idle = _pair(seconds(60, 365 * DAY, "from 1min to 365d"), "2h 4h")


def _keys(_total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Enabled",
            field="enabled",
            parse=boolean,
            what="Whether memd looks after zram at all.",
            default="yes",
        ),
        Key(
            name="FirstDelay",
            field="first",
            parse=seconds(0, 30 * DAY, "up to 30d"),
            what="When the first round is, after memd starts or this section changes.",
            default="1h",
        ),
        Key(
            name="Period",
            field="period",
            parse=seconds(HOUR, 30 * DAY, "from 1h to 30d"),
            what="How often there is a round. Not less than an hour: each one wakes the machine. Time in suspend does not count.",
            default="1h",
        ),
        Key(
            name="MaxLoad",
            field="load",
            parse=_above_nothing,
            what="A round is postponed while the load of the last minute, divided by the number of processors, is above this; and while"
            " there is memory pressure of any level. It is tried again ten minutes later.",
            default="50%",
        ),
        Key(
            name="MinBattery",
            field="battery",
            parse=units.parse_percent,
            what="A round is postponed while the machine runs on a battery that has less than this.",
            default="15%",
        ),
        Key(
            name="Recompress",
            field="recompress",
            parse=boolean,
            what="Whether pages that are idle, or did not get smaller, are compressed again with the secondary algorithms of a device that"
            " has any.",
            default="yes",
        ),
        Key(
            name="RecompressIdle",
            field="recompress_idle",
            parse=_idle,
            what="How long a page must not have been used to be idle for this: the least, with no memory available, and the most, with all"
            " of it; between them by the formula of ChromeOS. Time in suspend does not count.",
            default="2h 4h",
        ),
        Key(
            name="RecompressThreshold",
            field="threshold",
            parse=_threshold,
            what="An idle page that is smaller than this stays as it is; and so does one that would not get smaller than this.",
            default="1K",
        ),
        Key(
            name="RecompressBackoff",
            field="recompress_backoff",
            parse=seconds(0, 30 * DAY, "up to 30d"),
            what="At least this long after one recompression until the next.",
            default="30min",
        ),
        Key(
            name="Writeback",
            field="writeback",
            parse=boolean,
            what="Whether idle pages are written to the backing device of a zram device that has one.",
            default="yes",
        ),
        Key(
            name="WritebackIdle",
            field="writeback_idle",
            parse=_idle,
            what="As `RecompressIdle=`, for writeback.",
            default="20h 25h",
        ),
        Key(
            name="WritebackBackoff",
            field="writeback_backoff",
            parse=seconds(0, 30 * DAY, "up to 30d"),
            what="At least this long after one writeback until the next.",
            default="10min",
        ),
        Key(
            name="WritebackRound",
            field="writeback_round",
            parse=_round,
            what="The least that is worth a round, and the most that one round writes; the fuller the device, the more of it.",
            default="5M 300M",
        ),
        Key(
            name="WritebackDay",
            field="writeback_day",
            parse=units.parse_size,
            what="The most that is written in any 24 hours, for the sake of the flash, whatever happens to memd, the machine or its clocks."
            " Time switched off does not count as passed. `0` writes nothing.",
            default="1G",
        ),
        Key(
            name="Compact",
            field="compact",
            parse=boolean,
            what="Whether what is stored is moved together at the end of a round, so that pages become free.",
            default="yes",
        ),
        Key(
            name="CompactBeforeCma",
            field="compact_before_cma",
            parse=units.parse_size,
            what="A request of this size or more to a CMA heap waits until zram was compacted, where its pages lie in regions; `0` never.",
            default="0",
        ),
    )


SECTION = Section(
    name="Maintenance",
    keys=_keys,
    what="What keeps zram in shape over days: recompression and writeback of idle pages, within a wear budget, and compaction. A device"
    " without secondary algorithms is not recompressed, one without a backing device writes nothing.",
)


def settings(source: Ini, findings: list[Finding]) -> CareSettings:
    return CareSettings(**config_keys.read(source, SECTION.name, SECTION, 0, findings))
