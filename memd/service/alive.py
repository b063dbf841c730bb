"""One weak set and what the books say is in it: reading the one brings the other up to date.

Reads are shared: whoever asks while one runs waits for the next, which began after he asked. A set that was just read and gave nothing
back is not read again at once, so that an owner at his cap who keeps asking costs a fifth of a CPU at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from memd.kernel.weakref import WeakSet

INLINE = 100  # entries: some 100 µs, less than the way to a thread and back
REST = 4  # times as long as a fruitless read took
LONGEST_REST = 0.25


class Watched:
    """`ids`: what the books have under `weak`. `gone` is told what the kernel no longer has, in the loop. Owns `weak`."""

    def __init__(
        self, weak: WeakSet, gone: Callable[[set[int]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.weak = weak
        self.ids: set[int] = set()
        self._gone, self._clock = gone, clock
        self._reading: asyncio.Task[None] | None = None
        self._begun = False
        self._rest_until = 0.0

    @property
    def idle(self) -> bool:
        return not self.ids and self._reading is None

    async def refresh(self) -> None:
        """What was closed before this call is out of the books after it. OSError if the kernel can't be asked (EMFILE)."""
        if self._reading and self._begun:  # it may have missed what was closed just now
            await asyncio.wait({self._reading})
        if self.ids and self._reading is None:
            self._begun = False
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._ended)
        if self._reading:
            await asyncio.shield(self._reading)

    async def close(self) -> None:
        if self._reading:
            await asyncio.wait({self._reading})
        self.weak.close()

    async def _read(self) -> None:
        await asyncio.sleep(max(0.0, self._rest_until - self._clock()))
        self._begun = True
        began, before = self._clock(), set(self.ids)
        alive = self.weak.alive() if len(before) <= INLINE else await asyncio.to_thread(self.weak.alive)
        gone = before - alive
        self.ids -= gone
        now = self._clock()
        self._rest_until = 0.0 if gone else now + min(REST * (now - began), LONGEST_REST)
        self._gone(gone)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """An error is told to whoever waits; if nobody does, it is read here, and the next one asks anew."""
        if not task.cancelled():
            task.exception()
        if self._reading is task:
            self._reading = None
