"""One level over time: up with what is heard, down by itself. The machine's and each watched unit's is one.

While the level is none nothing is scheduled. One timer while it is up: it may fire early (its deadline moves with each event), then it
is set anew. The clock is monotonic: it knows no steps of the wall clock, and stands still while the machine sleeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from memd.model import Level, PressureSettings
from memd.policy import pressure
from memd.policy.pressure import Pressure

Changed = Callable[[Level, Level], None]


class Gauge:
    """`changed(level, previous)` comes in the loop, at once. `thrashing`: asked when a relief is due."""

    def __init__(
        self,
        settings: PressureSettings,
        changed: Changed,
        clock: Callable[[], float] = time.monotonic,
        thrashing: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.since = clock()
        self._changed, self._clock, self._thrashing = changed, clock, thrashing
        self._now = Pressure()
        self._timer: asyncio.TimerHandle | None = None
        self._said: Level = Level.NONE
        self._soon: asyncio.Handle | None = None

    @property
    def level(self) -> Level:
        return self._now.level

    def heard(self, level: Level) -> None:
        """Events that come in one turn of the loop are one: the highest."""
        self._said = max(level, self._said)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        said, self._said, self._soon = self._said, Level.NONE, None
        self._move(pressure.heard(self._now, said, self._clock(), self.settings.hold))

    def start(self) -> None:
        self._arm()

    def stop(self) -> None:
        """No timer is left; the level stays, as nobody saw it end."""
        for handle in (self._timer, self._soon):
            if handle:
                handle.cancel()
        self._timer = self._soon = None
        self._said = Level.NONE

    def _move(self, now: Pressure) -> None:
        previous, self._now = self._now.level, now
        if now.level is not previous:
            self.since = self._clock()
            self._changed(now.level, previous)
        self._arm()

    def _arm(self) -> None:
        due = pressure.deadline(self._now, self.settings.relief, self.settings.hold)
        if due is None or (self._timer and self._timer.when() <= self._when(due)):
            return
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._when(due), self._due)

    def _when(self, due: float) -> float:
        """By the loop's clock."""
        return asyncio.get_running_loop().time() + max(due - self._clock(), 0)

    def _due(self) -> None:
        self._timer = None
        levels = {trigger.level for trigger in self.settings.triggers} or set(Level)
        now = self._clock()
        when = pressure.deadline(self._now, self.settings.relief, self.settings.hold)
        relieving = not self._now.waiting and when is not None and now >= when
        self._move(pressure.due(self._now, levels, self.settings, now, relieving and self._thrashing()))
