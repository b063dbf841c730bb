"""When a LowMemoryWarning is due: for programs that know low-memory-monitor, through GLib's GMemoryMonitor or by themselves.

As low-memory-monitor does it: a warning at each stall, of each level once in 15 s at the most, and no word when pressure is over. Its
levels are numbers: 50 (caches can go), 100 (work can stop), 255 (the next is the OOM killer).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from memd.model import Level
from memd.service.listener import Listener

REPEAT = 15.0
WARNINGS = {Level.LOW: 50, Level.MEDIUM: 100, Level.CRITICAL: 255}


class LowMemory(Listener):
    """`signal(number)` sends LowMemoryWarning; what is not owned tells nobody."""

    def __init__(self, signal: Callable[[int], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._signal, self._clock = signal, clock
        self._told: dict[Level, float] = {}

    def stalled(self, level: Level) -> None:
        now = self._clock()
        last = self._told.get(level)
        if level in WARNINGS and (last is None or now - last >= REPEAT):
            self._told[level] = now
            self._signal(WARNINGS[level])
