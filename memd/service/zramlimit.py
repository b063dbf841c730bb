"""The alarm of MemLimit=, told to the journal before the limit bites. The kernel tells nobody, so memd looks: at each change or stall of
memory pressure, and once a minute while any device has a limit, which is the one case where an idle memd wakes up for zram.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from memd.early import ZramStat
from memd.errors import BadKernelFile
from memd.kernel import zram
from memd.kernel.root import Root
from memd.model import Event, Level
from memd.names import MESSAGE_ZRAM_LIMIT
from memd.policy import zramlimit
from memd.service.listener import Listener

EVERY = 60.0


class ZramLimit(Listener):
    """`look` is called where a limit may have come or gone."""

    def __init__(self, root: Root, tell: Callable[[Event], None]) -> None:
        self._root, self._tell = root, tell
        self._told: frozenset[str] = frozenset()
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def moved(self, level: Level, previous: Level) -> None:
        self.look()

    def stalled(self, level: Level) -> None:
        self.look()

    def look(self) -> None:
        """One look at a time; readers of mm_stat may wait long, so in a thread."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        stats = await asyncio.to_thread(self._read)
        now, self._told = zramlimit.close(stats, self._told)
        for stat in now:
            self._tell(_event(stat))
        if self._timer:
            self._timer.cancel()
        limited = any(stat.mem_limit for stat in stats)
        self._timer = asyncio.get_running_loop().call_later(EVERY, self.look) if limited else None

    def _read(self) -> tuple[ZramStat, ...]:
        try:
            return zram.read_all(self._root)
        except (OSError, BadKernelFile):  # told by status
            return ()


def _event(stat: ZramStat) -> Event:
    fields: dict[str, str | int | float] = {
        "MEMD_DEVICE": stat.name,
        "MEMD_USED": stat.mem_used,
        "MEMD_LIMIT": stat.mem_limit,
    }
    return Event(f"zram: {zramlimit.words(stat)}: at the limit every page more fails", MESSAGE_ZRAM_LIMIT, 4, fields)
