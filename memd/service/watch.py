"""The watch: pressure levels over time, from the kernel's triggers or, without PSI, from a slow look at free memory.

Each change of level is one `changed(level, facts)` and one Event, in the order of the changes. While the level is none nothing is
scheduled: the triggers' fds wake the loop (only the polling of a machine without PSI looks at a clock).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Coroutine

from memd.errors import BadKernelFile
from memd.kernel import meminfo, vmstat
from memd.kernel.root import Root
from memd.model import Event, Level, PressureSettings, Refaults, SwapFill, Trigger
from memd.policy import pressure
from memd.policy.pressure import POLL_EVERY
from memd.service import watchfacts
from memd.service.gauge import Gauge
from memd.service.listener import Listener, tell_moved, tell_stalled
from memd.service.triggers import Triggers

log = logging.getLogger(__name__)
FILL_WAIT = 0.05  # what an event waits for zram's numbers at most; it goes without them then
INSTEAD = f"pressure is judged from free memory and swap every {POLL_EVERY:g} s"
NO_PSI = (
    "no PSI (no /proc/pressure/memory: the kernel needs CONFIG_PSI, some also psi=1 on the command line): " + INSTEAD
)
UNPRIVILEGED = "no CAP_SYS_RESOURCE: pressure is seen over windows of 2 s, and up to 2 s late"

Changed = Callable[[Level, dict[str, object]], None]


class Watch:
    """`level`, `since` (by `clock`), `mode` (a sentence: how it watches), `missing` (a line per thing that the machine lacks)."""

    def __init__(
        self,
        root: Root,
        settings: PressureSettings,
        tell: Callable[[Event], None],
        changed: Changed,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.listeners: list[Listener] = []
        self._root, self._asked, self._tell, self._told, self._clock = root, settings, tell, changed, clock
        self._gauge = Gauge(settings, self._changed, clock, self._thrashing)
        self._refaults: Refaults | None = None
        self._triggers = Triggers(self._heard, self._lost)
        self._poll_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        self._weighing = False
        self._filling: asyncio.Future[SwapFill | None] | None = None
        self.mode = "not watching"
        self.missing: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        return self._gauge.level

    @property
    def since(self) -> float:
        return self._gauge.since

    def facts(self) -> dict[str, object]:
        """Level and the small facts of /proc, now, with the names and units of GetStatus."""
        return {"level": str(self.level), **watchfacts.read(self._root)}

    async def start(self) -> None:
        """Begin to watch. Never fails: what can't be had is a line in `missing`, and the next worse way is taken."""
        self.missing = watchfacts.lacking(self._root)
        try:
            self._gauge.settings = self._triggers.open(self._root, self._asked)
        except OSError as error:
            self._watch_by_polling(error)
        else:
            self._tell_mode()
        self._gauge.start()

    async def configure(self, settings: PressureSettings) -> None:
        """Watch by other settings from now on; a level that is up stays up until its relief."""
        self._unwatch()
        self._asked = settings
        await self.start()

    async def stop(self) -> None:
        """Ends the watch; what has happened is still told. A level that is up is not taken back: nobody saw it end."""
        self._unwatch()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self.mode = "not watching"

    def _unwatch(self) -> None:
        self._triggers.close()
        self._gauge.stop()
        if self._poll_timer:
            self._poll_timer.cancel()
        self._poll_timer = None

    def _tell_mode(self) -> None:
        triggers = self._gauge.settings.triggers
        if not triggers:
            self.mode = "no triggers are configured: the level stays none"
            return
        windows = sorted({trigger.window for trigger in triggers})
        self.mode = f"kernel triggers over {' and '.join(f'{window:g} s' for window in windows)}: {watchfacts.trigger_words(triggers)}"
        if triggers != self._asked.triggers:
            self.mode += " (windows stretched for lack of CAP_SYS_RESOURCE)"
            self.missing += (UNPRIVILEGED,)

    # Without triggers

    def _watch_by_polling(self, error: OSError) -> None:
        absent = error.errno in (errno.ENOENT, errno.EOPNOTSUPP)
        self.missing += (NO_PSI if absent else f"no pressure triggers ({error}): {INSTEAD}",)
        self._gauge.settings = pressure.polled(self._asked)
        self.mode = f"free memory and swap, looked at every {POLL_EVERY:g} s: no pressure triggers"
        self._poll()

    def _poll(self) -> None:
        self._poll_timer = asyncio.get_running_loop().call_later(POLL_EVERY, self._poll)
        self._spawn(self._judge())

    async def _judge(self) -> None:
        """One look: what is left is the level. Unknown is no level: the next poll judges, unless the watch was stopped meanwhile."""
        level = await self._left()
        if level and self._poll_timer:
            self._stalled(level)

    async def _left(self) -> Level:
        """The level that what is left would mean; NONE where it can't be known."""
        try:
            memory = meminfo.read(self._root)
        except (OSError, BadKernelFile) as error:
            log.warning("pressure can't be judged: %s", error)
            return Level.NONE
        fill = await self._fill() if memory.swap_total else None
        known = fill is not None or not memory.swap_total
        return pressure.judge(memory, fill) if known else Level.NONE

    # With triggers

    def _heard(self, trigger: Trigger) -> None:
        self._stalled(trigger.level)
        if not self._weighing:
            self._weighing = True
            self._spawn(self._weigh())

    async def _weigh(self) -> None:
        """Told first, weighed then: a stall with nothing left is more than a stall."""
        try:
            level = await self._left()
        finally:
            self._weighing = False
        if level > self.level and self._triggers:
            self._stalled(level)

    def _lost(self, trigger: Trigger) -> None:
        self.missing += (f"the kernel gave up the pressure trigger of level {trigger.level}",)
        if not self._triggers:
            self._watch_by_polling(OSError(errno.EIO, "all of them were given up"))

    # Both

    def _stalled(self, level: Level) -> None:
        self._gauge.heard(level)
        asyncio.get_running_loop().call_soon(self._tell_stalled, level)

    def _tell_stalled(self, level: Level) -> None:
        """After the gauge has taken it: a stall of less than the level that is up is no news, nor one that waits for its turn."""
        if Level.NONE < level is self.level:
            tell_stalled(self.listeners, level)

    def _changed(self, level: Level, previous: Level) -> None:
        if level > previous:
            self._refaults = self._look()
        tell_moved(self.listeners, level, previous)
        self._spawn(self._announce(level, previous, watchfacts.read(self._root)))

    def _thrashing(self) -> bool:
        """Between the last look and now."""
        before, self._refaults = self._refaults, self._look()
        try:
            return pressure.thrashing(before, self._refaults, meminfo.read(self._root).total)
        except (OSError, BadKernelFile):
            return False

    def _look(self) -> Refaults | None:
        try:
            size = vmstat.refaulted(self._root)
        except (OSError, BadKernelFile) as error:
            log.info("refaults are unknown: %s", error)
            return None
        return None if size is None else Refaults(self._clock(), size)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _announce(self, level: Level, previous: Level, facts: dict[str, object]) -> None:
        """In the order of the changes: asyncio's locks are fair."""
        async with self._order:
            facts = {"level": str(level), "previous": str(previous), **facts}
            if fill := await self._fill() if facts.get("swap_total") else None:
                facts["swap_fill"] = watchfacts.fill_facts(fill)
            try:
                self._told(level, facts)
            except Exception:  # a listener's trouble must not cost the journal its entry
                log.exception("pressure level %s could not be told", level)
            self._tell(watchfacts.event(level, previous, facts))

    async def _fill(self) -> SwapFill | None:
        """Swap fill read in a thread, one reader for all who ask meanwhile; None if it takes too long or can't be read."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().run_in_executor(None, self._read_fill)
        reading = self._filling
        await asyncio.wait({reading}, timeout=FILL_WAIT)
        return reading.result() if reading.done() else None

    def _read_fill(self) -> SwapFill | None:
        try:
            return watchfacts.read_fill(self._root)
        except (OSError, BadKernelFile) as error:
            log.info("swap fill is unknown: %s", error)
            return None
