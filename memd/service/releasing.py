"""Buffers whose last file is gone and whose memory is not yet seen back: state `releasing`, charged as before.

It can be seen for CMA areas on kernels that count released pages (kernel/cma.py); elsewhere a buffer is back when its last file is gone.
The count begins anew whenever nothing is being released, so that what drivers give back to the area blurs one look at the most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from memd.model import Buffer
from memd.policy.releasing import still_taken

# The kernel takes an entry out of its set first, and frees pages then: seconds to wait for what was closed just now.
WAITS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)


class Books(Protocol):
    """The ledger's side. `read_area`: bring every set with buffers of the area up to date; `alive`: bytes lent from it whose files are
    there; `settled`: these are back."""

    async def read_area(self, area: str) -> None: ...

    def alive(self, area: str) -> int: ...

    def settled(self, back: Iterable[Buffer]) -> None: ...


class Tally:
    """One area since its count began: what it had been given back by then, and what memd has got from it, what was alive then included."""

    def __init__(self, released: int, alive: int) -> None:
        self.released, self.got = released, alive


class Releasing:
    """`released`: bytes that an area was given back since boot, None where the kernel does not count."""

    def __init__(self, released: Callable[[str], int | None]) -> None:
        self._released = released
        self._tallies: dict[str, Tally] = {}
        self._fresh: dict[int, Buffer] = {}
        self._known: dict[int, Buffer] = {}
        self._turn = asyncio.Lock()

    @property
    def areas(self) -> set[str]:
        """Where a look is due."""
        return {buffer.area for buffer in (*self._fresh.values(), *self._known.values())}

    def mark(self, area: str) -> int | None:
        """Before the sets are read that `begin` stands on."""
        return self._released(area)

    def begin(self, area: str, mark: int | None, alive: int) -> None:
        """Count anew, if nothing is being released. `alive`: bytes lent from this area, by sets that were read after `mark`."""
        if mark is None:
            self._tallies.pop(area, None)
        elif area not in self.areas:
            self._tallies[area] = Tally(mark, alive)

    def got(self, area: str, size: int) -> None:
        """The kernel gave so much."""
        if area in self._tallies:
            self._tallies[area].got += size

    def has(self, number: int) -> bool:
        return number in self._fresh or number in self._known

    def counted(self, area: str) -> bool:
        return area in self._tallies

    def add(self, buffer: Buffer) -> None:
        """Its last file is gone; it stays charged until a look says that it is back."""
        self._fresh[buffer.id] = buffer

    def replace(self, buffer: Buffer) -> None:
        for buffers in (self._fresh, self._known):
            if buffer.id in buffers:
                buffers[buffer.id] = buffer

    async def look(self, books: Books) -> None:
        """At every area where something is being released; `books` are told what is back, before the count begins anew."""
        async with self._turn:
            for area in self.areas:
                mark = self.mark(area)
                await books.read_area(area)
                books.settled(await self._settle(area, books.alive))
                self.begin(area, mark, books.alive(area))

    async def _settle(self, area: str, alive: Callable[[str], int]) -> list[Buffer]:
        taken = self._taken(area, alive)
        for wait in WAITS:
            if not taken & self._fresh.keys():
                break
            await asyncio.sleep(wait)
            taken = self._taken(area, alive)
        found = self._of(area, self._fresh) + self._of(area, self._known)
        for buffer in found:
            self._fresh.pop(buffer.id, None)
            self._known.pop(buffer.id, None)
        self._known |= {buffer.id: buffer for buffer in found if buffer.id in taken}
        return [buffer for buffer in found if buffer.id not in taken]

    def _taken(self, area: str, alive: Callable[[str], int]) -> set[int]:
        tally, released = self._tallies.get(area), self._released(area)
        if tally is None or released is None:
            return set()
        withheld = tally.got - alive(area) - (released - tally.released)
        return still_taken(withheld, self._of(area, self._known), self._of(area, self._fresh))

    def _of(self, area: str, buffers: dict[int, Buffer]) -> list[Buffer]:
        return [buffer for buffer in buffers.values() if buffer.area == area]
