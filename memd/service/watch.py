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
from memd.kernel import meminfo
from memd.kernel.root import Root
from memd.model import Event, Level, PressureSettings, SwapFill, Trigger
from memd.policy import pressure
from memd.policy.pressure import POLL_EVERY, Pressure
from memd.service import watchfacts
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
        self._root, self._asked, self._tell, self._changed, self._clock = root, settings, tell, changed, clock
        self._settings = settings
        self._now = Pressure()
        self._triggers = Triggers(self._heard, self._lost)
        self._timer: asyncio.TimerHandle | None = None
        self._poll_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        self._filling: asyncio.Future[SwapFill | None] | None = None
        self.since = clock()
        self.mode = "not watching"
        self.missing: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        return self._now.level

    def facts(self) -> dict[str, object]:
        """Level and the small facts of /proc, now, with the names and units of GetStatus."""
        return {"level": str(self.level), **watchfacts.read(self._root)}

    async def start(self) -> None:
        """Begin to watch. Never fails: what can't be had is a line in `missing`, and the next worse way is taken."""
        self.missing = watchfacts.lacking(self._root)
        try:
            self._settings = self._triggers.open(self._root, self._asked)
        except OSError as error:
            self._watch_by_polling(error)
        else:
            self._tell_mode()
        self._arm()

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
        for timer in (self._timer, self._poll_timer):
            if timer:
                timer.cancel()
        self._timer = self._poll_timer = None

    def _tell_mode(self) -> None:
        triggers = self._settings.triggers
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
        self._settings = pressure.polled(self._asked)
        self.mode = f"free memory and swap, looked at every {POLL_EVERY:g} s: no pressure triggers"
        self._poll()

    def _poll(self) -> None:
        self._poll_timer = asyncio.get_running_loop().call_later(POLL_EVERY, self._poll)
        self._spawn(self._judge())

    async def _judge(self) -> None:
        try:
            memory = meminfo.read(self._root)
        except (OSError, BadKernelFile) as error:
            log.warning("pressure can't be judged: %s", error)
            return
        fill = await self._fill() if memory.swap_total else None
        known = fill is not None or not memory.swap_total
        if known and self._poll_timer:  # else the next poll judges; or the watch was stopped meanwhile
            self._stalled(pressure.judge(memory, fill))

    # With triggers

    def _heard(self, trigger: Trigger) -> None:
        self._stalled(trigger.level)

    def _lost(self, trigger: Trigger) -> None:
        self.missing += (f"the kernel gave up the pressure trigger of level {trigger.level}",)
        if not self._triggers:
            self._watch_by_polling(OSError(errno.EIO, "all of them were given up"))

    # Both

    def _stalled(self, level: Level) -> None:
        self._move(pressure.heard(self._now, level, self._clock()))
        if Level.NONE < level is self.level:
            tell_stalled(self.listeners, level)

    def _move(self, now: Pressure) -> None:
        previous, self._now = self._now.level, now
        if now.level is not previous:
            self.since = self._clock()
            tell_moved(self.listeners, now.level, previous)
            self._spawn(self._announce(now.level, previous, watchfacts.read(self._root)))
        self._arm()

    def _arm(self) -> None:
        """One timer while a level is up, none otherwise. It may fire early (the deadline moves with each event): then it is set anew."""
        due = pressure.deadline(self._now, self._settings.relief)
        if due is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(due - self._clock(), 0), self._relieve)

    def _relieve(self) -> None:
        self._timer = None
        levels = {trigger.level for trigger in self._settings.triggers} or set(Level)
        self._move(pressure.relieved(self._now, levels, self._settings.relief, self._clock()))

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
                self._changed(level, facts)
            except Exception:  # a listener's trouble must not cost the journal its entry
                log.exception("pressure level %s could not be told", level)
            self._tell(watchfacts.event(level, previous, facts))

    async def _fill(self) -> SwapFill | None:
        """Swap fill read in a thread, one at a time; None if it takes too long or can't be read."""
        if self._filling and not self._filling.done():
            return None
        self._filling = reading = asyncio.get_running_loop().run_in_executor(None, self._read_fill)
        await asyncio.wait({reading}, timeout=FILL_WAIT)
        return reading.result() if reading.done() else None

    def _read_fill(self) -> SwapFill | None:
        try:
            return watchfacts.read_fill(self._root)
        except (OSError, BadKernelFile) as error:
            log.info("swap fill is unknown: %s", error)
            return None
