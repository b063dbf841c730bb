"""The weak sets, one for each owner (the simulated heap's buffers share one): made when an owner is new, dropped when they hold nothing
and another owner needs room. The ledger's lock is held around each call that changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from memd.errors import Busy
from memd.kernel.weakref import EpollSet, InotifySet, WeakSet
from memd.model import Heap, HeapKind
from memd.service.alive import Watched
from memd.service.keeper import SHARED, Keeper

MAX_OWNERS = 256  # one epoll set each


class Sets:
    """`gone` is told what a set no longer has. `keeper`: what is new is kept there too; None where nothing outlives memd. Owns the sets."""

    def __init__(self, gone: Callable[[set[int]], None], clock: Callable[[], float], keeper: Keeper | None) -> None:
        self._gone, self._clock, self._keeper = gone, clock, keeper
        self._sets: dict[str, Watched] = {}
        for owner, kept in keeper.sets.items() if keeper else ():
            watched = self._sets[owner] = Watched(kept.weak, gone, clock)
            watched.ids |= {buffer.id for buffer in kept.buffers}

    def has_room_for(self, owner: str) -> bool:
        return owner in self._sets or len(self._sets) < MAX_OWNERS

    def has(self, owner: str, heap: Heap) -> bool:
        return _name(owner, heap) in self._sets

    def of(self, owner: str, heap: Heap, reserved: Callable[[], set[str]]) -> Watched:
        """`reserved`: owners whose sets will be needed. Busy if there is no room for another owner, OSError if there is no fd for it."""
        name = _name(owner, heap)
        if name not in self._sets:
            if len(self._sets) >= MAX_OWNERS:
                self._drop_idle(reserved)
            self._sets[name] = Watched(self._new(name), self._gone, self._clock)
        return self._sets[name]

    async def read(self, owners: Iterable[str] | None = None) -> None:
        """Of some owners, or all: what was closed before this call is told to `gone`. OSError if the kernel can't be asked."""
        names = list(self._sets) if owners is None else dict.fromkeys((*owners, SHARED))
        for watched in [self._sets[name] for name in names if name in self._sets]:
            await watched.refresh()

    async def close(self) -> None:
        sets, self._sets = self._sets, {}
        for watched in sets.values():
            await watched.close()

    def _new(self, name: str) -> WeakSet:
        weak: WeakSet = InotifySet() if name == SHARED else EpollSet()
        try:
            if self._keeper:
                self._keeper.keep(name, weak)
        except BaseException:
            weak.close()
            raise
        return weak

    def _drop_idle(self, reserved: Callable[[], set[str]]) -> None:
        needed = reserved()
        for name in [name for name, watched in self._sets.items() if watched.idle and name not in needed]:
            if self._keeper:
                self._keeper.drop(name)
            self._sets.pop(name).weak.close()
        if len(self._sets) >= MAX_OWNERS:
            raise Busy(f"{MAX_OWNERS} owners hold buffers already; ask again when one of them has given all back")


def _name(owner: str, heap: Heap) -> str:
    return SHARED if heap.kind is HeapKind.SIMULATED else owner
