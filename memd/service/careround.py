"""One round of maintenance on one zram device: writeback, recompression, compaction; in small steps, so that who reads mm_stat never waits
long, and ended early when the machine gets busy.

Writeback goes first: what is written out needs no recompression, and recompression takes back idle marks. Blocking.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from memd.early import Noun
from memd.errors import BadKernelFile, Failed, MemdError
from memd.kernel import zram, zramcare
from memd.kernel.root import Root
from memd.model_care import CareSettings, CareStep
from memd.policy import zramcare as policy
from memd.service.idlemarks import IdleMarks, NotYet
from memd.service.wear import WearBook

WRITEBACK, RECOMPRESS, COMPACT = "writeback", "recompress", "compact"
WRITEBACK_KINDS = ("huge_idle", "idle")
RECOMPRESS_KINDS = (
    ("huge_idle", False),
    ("idle", True),
    ("huge", False),
)  # with threshold: what is small already stays


class Enough(Exception):
    """The step ends here; the message says why, "" where it is done."""


class Round(Noun):
    """`calm`: False when the machine has got busy or memd ends; `kernel`: (6, 1)."""

    root: Root
    settings: CareSettings
    book: WearBook
    marks: IdleMarks
    calm: Callable[[], bool]
    kernel: tuple[int, int]

    def run(self, name: str) -> list[CareStep]:
        """What each step won. Never raises for what the kernel says: that is a step's `skipped`."""
        end = time.monotonic() + policy.ROUND
        steps = [_Step(self, name, end).take(work) for work in self._works(name)]
        self.marks.done(name, {step.work for step in steps if not step.skipped})
        return [step for step in steps if step.skipped != NOTHING]

    def _works(self, name: str) -> list[str]:
        return [work for work, wanted in (
            (WRITEBACK, self.settings.writeback and zramcare.backing_device(self.root, name) is not None),
            (RECOMPRESS, self.settings.recompress and bool(zramcare.recompressors(self.root, name))),
            (COMPACT, self.settings.compact and zramcare.can(self.root, name, "compact")),
        ) if wanted]  # fmt: skip


NOTHING = "nothing is stored"


class _Step:
    """One kind of work on one device."""

    def __init__(self, round: Round, name: str, end: float) -> None:  # noqa: A002 - it is one
        self.round, self.root, self.name, self.end = round, round.root, name, end
        self.settings = round.settings
        self.written = 0

    def take(self, work: str) -> CareStep:
        started, before, skipped, failed = time.monotonic(), 0, "", False
        try:
            before = zramcare.counters(self.root, self.name).mem_used
            getattr(self, f"_{work}")()
        except (Enough, NotYet) as end:
            skipped = str(end)
        except (OSError, MemdError, BadKernelFile) as error:
            skipped, failed = _words(error), not _is_full(error)
        return CareStep(
            self.name, work, before, self._used(before), self.written, time.monotonic() - started, skipped, failed
        )

    def _used(self, before: int) -> int:
        try:
            return zramcare.counters(self.root, self.name).mem_used
        except OSError:  # the device has gone meanwhile
            return before

    def _check(self) -> None:
        if not self.round.calm():
            raise Enough("the machine got busy")
        if time.monotonic() > self.end:
            raise Enough(f"{policy.ROUND:g} s are enough for one round")

    # Writeback

    def _writeback(self) -> None:
        size = self._promised()
        try:
            self._write(size)
        finally:
            self._settle(size)

    def _promised(self) -> int:
        """The bytes of this round; on disk before one of them is written."""
        counters, stat = zramcare.counters(self.root, self.name), zram.read(self.root, self.name)
        if not counters.original:
            raise Enough(NOTHING)
        self.round.marks.mark_for_writeback(self.name)
        room = (zramcare.backing_size(self.root, zramcare.backing_device(self.root, self.name) or "") or 0) - (
            counters.backed or 0
        )
        left = self.round.book.left(self.settings.writeback_day, used_before=bool(counters.written_back))
        size, reason = policy.writeback_size(self.settings, counters.original, stat.disksize, room, left)
        if not size:
            raise Enough(reason)
        zramcare.limit_writeback(self.root, self.name, 0)  # a kernel that can't be limited is not asked to write
        self.round.book.promise(size, self.settings.writeback_day)
        return size

    def _write(self, size: int) -> None:
        left, pages = size, policy.FIRST_STEP
        for kind in WRITEBACK_KINDS:
            more = True
            while more and left >= (page := os.sysconf("SC_PAGE_SIZE")):
                self._check()
                started = time.monotonic()
                step = min(left, pages * page)
                written, more = self._write_step(kind, step)
                left -= written
                self.written += written
                pages = policy.next_step(pages, time.monotonic() - started)

    def _write_step(self, kind: str, size: int) -> tuple[int, bool]:
        """(bytes that were written, or may have been; whether there may be more of this kind)."""
        before = zramcare.counters(self.root, self.name).written_back or 0
        zramcare.limit_writeback(self.root, self.name, size)
        try:
            zramcare.write_back(self.root, self.name, kind)
        except OSError as error:
            if error.errno != errno.EIO or zramcare.writeback_left(self.root, self.name) > 0:
                self.written += size  # what failed may have worn the flash as well
                raise
            return self._grown(before, size), True
        return self._grown(before, size), False

    def _grown(self, before: int, size: int) -> int:
        """What bd_stat says; all that was allowed where it says nothing or more."""
        after = zramcare.counters(self.root, self.name).written_back
        return size if after is None or not 0 <= after - before <= size else after - before

    def _settle(self, size: int) -> None:
        try:
            zramcare.limit_writeback(self.root, self.name, 0)  # nor may anybody else write more than the day's budget
        finally:
            self.round.book.settle(min(self.written, size))

    # Recompression

    def _recompress(self) -> None:
        if not zramcare.counters(self.root, self.name).original:
            raise Enough(NOTHING)
        self.round.marks.mark_for_recompression(self.name)
        for priority in sorted(zramcare.recompressors(self.root, self.name)):
            for kind, small_stays in RECOMPRESS_KINDS:
                self._recompress_kind(kind, priority, self.settings.threshold if small_stays else None)

    def _recompress_kind(self, kind: str, priority: int, threshold: int | None) -> None:
        """Until a step wins nothing: what is left of this kind does not get smaller."""
        pages, before = policy.FIRST_STEP, None
        while before != (now := zramcare.counters(self.root, self.name).compressed):
            self._check()
            before, started = now, time.monotonic()
            zramcare.recompress(self.root, self.name, kind, priority, pages, threshold)
            pages = policy.next_step(pages, time.monotonic() - started)

    # Compaction

    def _compact(self) -> None:
        if not zramcare.counters(self.root, self.name).mem_used:
            raise Enough(NOTHING)
        self._check()
        zramcare.compact(self.root, self.name)


def _words(error: Exception) -> str:
    if _is_full(error):
        return "the backing device is full"
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return "the backing device can't be written; what it holds is lost if it is gone (dmesg says more)"
    if isinstance(error, Failed):
        return str(error)
    return getattr(error, "strerror", None) or str(error)


def _is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC
