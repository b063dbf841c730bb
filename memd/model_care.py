"""Nouns of the maintenance of zram that cross rooms: as in `model.py`, frozen, sizes in bytes, times in seconds."""

from __future__ import annotations

from memd.early import Noun


class ZramCounters(Noun):
    """What a zram device holds and has done so far, bytes (`huge_since`: pages; the two failures: requests). None: not counted here.

    `backed`: on the backing device now, `written_back` and `read_back`: ever. `compacted`: freed by compaction, ever.
    """

    original: int
    compressed: int
    mem_used: int
    compacted: int = 0
    huge_since: int | None = None
    failed_reads: int | None = None
    failed_writes: int | None = None
    backed: int | None = None
    read_back: int | None = None
    written_back: int | None = None


class CareSettings(Noun):
    """[Maintenance], seconds and bytes; the defaults are those of Android's mmd and ChromeOS. `*_idle`: the least and the most age of a
    page, awake time; `writeback_round`: less is not worth it, more is not written at once; `load`: per CPU; `battery`: 0..1."""

    enabled: bool = True
    first: float = 3600.0
    period: float = 3600.0
    recompress: bool = True
    recompress_idle: tuple[float, float] = (2 * 3600.0, 4 * 3600.0)
    recompress_backoff: float = 1800.0
    threshold: int = 1024
    writeback: bool = True
    writeback_idle: tuple[float, float] = (20 * 3600.0, 25 * 3600.0)
    writeback_backoff: float = 600.0
    writeback_round: tuple[int, int] = (5 << 20, 300 << 20)
    writeback_day: int = 1 << 30
    compact: bool = True
    compact_before_cma: int = 0
    load: float = 0.5
    battery: float = 0.15


class CareStep(Noun):
    """What one step of maintenance won on one device. `work`: "writeback", "recompress" or "compact"; `before` and `after`: RAM that zram
    held, bytes; `written`: bytes to the backing device; `skipped`: why it was not done, or why it ended early, "" for neither; `failed`:
    the kernel or a device said no, and somebody should look."""

    device: str
    work: str
    before: int = 0
    after: int = 0
    written: int = 0
    seconds: float = 0.0
    skipped: str = ""
    failed: bool = False


class Spent(Noun):
    """Bytes written to a backing device, at an instant of lived time. `open`: promised, and not yet known to be written."""

    at: float
    size: int
    open: bool = False


class Wear(Noun):
    """The wear of the last day. `lived`: seconds that have surely passed since the first round; `boot` and `since_boot`: when that was
    known. Wall clock is no part of it: it may jump."""

    lived: float = 0.0
    boot: str = ""
    since_boot: float = 0.0
    spent: tuple[Spent, ...] = ()
