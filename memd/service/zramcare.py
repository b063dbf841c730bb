"""Maintenance of zram over time: a round each period, in a thread; postponed while the machine is busy; told in the journal and in status.

One timer, an hour or more apart, and none while no zram is swap: an idle machine is woken once an hour at the most, and not at all in
suspend, which stops the timer's clock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from memd.early import Swap, replace
from memd.errors import BadKernelFile
from memd.kernel import clocks, load, swaps
from memd.kernel.root import Root
from memd.model import Event, Level
from memd.model_care import CareSettings, CareStep
from memd.names import MESSAGE_ZRAM_CARE
from memd.policy import zramcare, zramsections
from memd.service.careround import Round
from memd.service.idlemarks import IdleMarks
from memd.service.wear import WearBook
from memd.units import format_seconds, format_size

log = logging.getLogger(__name__)
RELEASE = "proc/sys/kernel/osrelease"


class ZramCare:
    """`reason`: why the last round was postponed, "" if it was not. `waits_for_zram`: there is none, and no timer.
    `last`: device -> what its last round won."""

    def __init__(
        self, root: Root, settings: CareSettings, tell: Callable[[Event], None], level: Callable[[], Level]
    ) -> None:
        self._root, self._settings, self._tell, self._level = root, settings, tell, level
        self._kernel = zramcare.release(root.read(RELEASE) or "")
        self._book = WearBook(root)
        self._marks = IdleMarks(root, settings, stay=zramcare.marks_stay(self._kernel))
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None
        self._ending = threading.Event()
        self._backoffs: dict[tuple[str, str], float] = {}
        self.reason = ""
        self.waits_for_zram = False
        self.last: dict[str, list[CareStep]] = {}
        self.day_left: int | None = None

    def start(self) -> None:
        if self._settings.enabled:
            self._wait(self._settings.first)

    def configure(self, settings: CareSettings) -> None:
        """From now on so; a round that runs ends by the settings that it began with."""
        if settings == self._settings:
            return
        self._settings = settings
        self._marks.configure(settings)
        self._cancel()
        self.start()

    async def stop(self) -> None:
        """A round that runs ends after the step that it is at."""
        self._cancel()
        self._ending.set()
        if self._running:
            await asyncio.wait({self._running})

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._running is None or self._running.done():
            self._running = asyncio.ensure_future(self._round())

    async def _round(self) -> None:
        try:
            again = await asyncio.to_thread(self._work, self._settings)
        except Exception:  # a wrong assumption about one kernel must not cost the daemon
            log.exception("maintenance of zram failed")
            again = False
        if self._ending.is_set() or not self._settings.enabled or self._timer:
            return
        self.waits_for_zram = self.waits_for_zram and not self._devices()  # it may have come meanwhile
        if not self.waits_for_zram:
            self._wait(zramcare.RETRY if again else zramcare.due(clocks.awake(), self._settings.period))

    def swaps_changed(self, *, zram_is_swap: bool) -> None:
        """Called at each swapon and swapoff: without zram there is no timer."""
        if zram_is_swap and self.waits_for_zram and not self._ending.is_set():
            self.waits_for_zram = False
            self._cancel()
            self.start()

    # In the thread

    def _work(self, settings: CareSettings) -> bool:
        """One round on each device that is swap; whether it was postponed."""
        self._marks.sample()
        names = self._devices()
        self.waits_for_zram = not names
        self.reason = (zramcare.postponed(settings, self._mood()) or "") if names else ""
        if self.reason:
            log.info("maintenance of zram is postponed: %s", self.reason)
            return True
        for name in names:
            self._care_for(name, settings)
        return False

    def _devices(self) -> list[str]:
        found = [zramsections.zram_name(swap) for swap in _swaps(self._root)]
        return [name for name in found if name]

    def _mood(self) -> zramcare.Mood:
        return zramcare.Mood(level=self._level(), load=load.per_cpu(self._root), battery=_battery(self._root))

    def _calm(self) -> bool:
        return not self._ending.is_set() and self._level() <= Level.NONE

    def _care_for(self, name: str, settings: CareSettings) -> None:
        now = clocks.awake()
        works = self._rested(name, settings, now)
        round_ = Round(
            root=self._root, settings=works, book=self._book, marks=self._marks, calm=self._calm, kernel=self._kernel
        )
        steps = round_.run(name)
        self._backoffs |= {(name, step.work): now for step in steps if not step.skipped}
        self.last[name] = steps
        if any(step.work == "writeback" for step in steps):
            self.day_left = self._book.left(settings.writeback_day, used_before=True)
        for step in steps:
            self._report(step)

    def _rested(self, name: str, settings: CareSettings, now: float) -> CareSettings:
        """Without the work that was done a moment ago: a reload starts a round, and must not start one after another."""
        waits = {"writeback": settings.writeback_backoff, "recompress": settings.recompress_backoff}
        still = {
            work: False
            for work, backoff in waits.items()
            if now - self._backoffs.get((name, work), -backoff) < backoff
        }
        return replace(settings, **still)

    def _report(self, step: CareStep) -> None:
        if self._book.trouble:
            self._tell(Event(self._book.trouble, MESSAGE_ZRAM_CARE, 4, {"MEMD_DEVICE": step.device}))
            self._book.trouble = ""
        if step.failed or step.written or step.after != step.before or not step.skipped:
            self._tell(event(step))

    def status(self) -> dict[str, object]:
        """For GetStatus: seconds, bytes."""
        facts: dict[str, object] = {"enabled": self._settings.enabled, "period": self._settings.period}
        if self._timer and self._settings.enabled:
            facts["next"] = max(self._timer.when() - asyncio.get_running_loop().time(), 0.0)
        if self.reason:
            facts["postponed"] = self.reason
        facts["day_budget"] = self._settings.writeback_day
        if self.day_left is not None:
            facts["day_left"] = self.day_left
        return facts

    def won(self, name: str) -> list[dict[str, object]]:
        """What the last round won on one device."""
        return [
            {key: value for key, value in vars(step).items() if key != "device"} for step in self.last.get(name, ())
        ]


def _swaps(root: Root) -> tuple[Swap, ...]:
    return swaps.read(root) or ()


def _battery(root: Root) -> float | None:
    try:
        return load.battery(root)
    except (OSError, BadKernelFile):  # drivers of batteries say all kinds of things; no reason to let memory go
        return None


def event(step: CareStep) -> Event:
    """What one step won, for the journal."""
    facts = f"{step.device}: {step.work}: {format_size(step.before)} of RAM became {format_size(step.after)}"
    if step.written:
        facts += f", {format_size(step.written)} written to the backing device"
    facts += f", in {format_seconds(step.seconds)}" + (f"; ended: {step.skipped}" if step.skipped else "")
    fields: dict[str, str | int | float] = {
        "MEMD_DEVICE": step.device,
        "MEMD_WORK": step.work,
        "MEMD_BEFORE": step.before,
        "MEMD_AFTER": step.after,
        "MEMD_WRITTEN": step.written,
        "MEMD_SECONDS": round(step.seconds, 3),
    }
    return Event(facts, MESSAGE_ZRAM_CARE, 4 if step.failed else 6, fields)
