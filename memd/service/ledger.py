"""The books of what is lent, kept honest by weak references: alive means alive in the kernel, whoever holds the buffer.

A grant that fits the books reads nothing. When it does not fit, or a listing wants the truth, the kernel is asked which buffers are
left, and what is gone is given back. The books are bounded by the caps, the sets by MAX_OWNERS. Where systemd keeps fds for memd, a
keeper has a copy of both that outlives memd.

Two threads use the books: the loop, and the lane's. `lock` is held from a decision to its reservation, and around each change here; never
over an await or over an allocation.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Concatenate, ParamSpec, TypeVar

from memd.errors import Busy, NoSuchBuffer
from memd.kernel.weakref import EpollSet, InotifySet, WeakSet
from memd.model import LENT, RELEASING, WRITTEN_OFF, Buffer, Caller, Heap, HeapKind, Usage
from memd.service.alive import Watched
from memd.service.keeper import SHARED, Keeper
from memd.service.releasing import Releasing

MAX_OWNERS = 256  # one epoll set each
Key = tuple[str, ...]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Use:
    bytes: int = 0
    buffers: int = 0


NOTHING = Use()


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """A place in the books for a request that is on its way. Ends in `book` or `give_back`, exactly once."""

    owner: str
    rule: str
    heap: Heap
    sizes: tuple[int, ...]


def _locked(method: Callable[Concatenate[Ledger, P], T]) -> Callable[Concatenate[Ledger, P], T]:
    @functools.wraps(method)
    def alone(self: Ledger, /, *arguments: P.args, **named: P.kwargs) -> T:
        with self.lock:
            return method(self, *arguments, **named)

    return alone


class Ledger:
    """`keeper`: None where nothing outlives memd. Owns it, and goes on where it left off."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        keeper: Keeper | None = None,
        released: Callable[[str], int | None] = lambda _area: None,
    ) -> None:
        """`released`: bytes that an area was given back since boot, None where the kernel does not count."""
        self.lock = threading.RLock()
        self._clock, self._wall, self._keeper = clock, wall, keeper
        self._last_id = 0
        self._books: dict[int, Buffer] = {}
        self._uses: dict[Key, Use] = {}
        self._open: set[Reservation] = set()
        self._sets: dict[str, Watched] = {}
        self._releasing = Releasing(released)
        if keeper:
            self._go_on(keeper)

    # What is charged

    @_locked
    def usage(self, owner: str, rule: str, areas: Iterable[str], area: str = "") -> Usage:
        """Reservations included. `areas`: those of the heaps that the deciding rule names; `area`: that of the request's heap."""
        everyone, own, by_rule = self._use("all"), self._use("owner", owner), self._use("rule", rule)
        shares = [self._use("share", owner, area) for area in set(areas)]
        return Usage(
            total_bytes=everyone.bytes,
            total_buffers=everyone.buffers,
            owner_bytes=own.bytes,
            owner_buffers=own.buffers,
            share_bytes=sum(share.bytes for share in shares),
            share_buffers=sum(share.buffers for share in shares),
            rule_bytes=by_rule.bytes,
            rule_buffers=by_rule.buffers,
            area_bytes=self._use("share", owner, area).bytes,
            rule_area_bytes=self._use("rule", rule, area).bytes,
        )

    @_locked
    def pending(self, area: str | None = None) -> int:
        """Bytes that are promised and not yet taken from the kernel, of one area or of all."""
        return sum(sum(one.sizes) for one in self._open if area in {None, one.heap.area})

    @_locked
    def lent(self) -> dict[str, tuple[int, int]]:
        """Heap name -> (bytes, buffers), of what is booked."""
        found: dict[str, tuple[int, int]] = {}
        for buffer in self._books.values():
            size, count = found.get(buffer.heap, (0, 0))
            found[buffer.heap] = (size + buffer.size, count + 1)
        return found

    @_locked
    def buffers(self) -> Sequence[Buffer]:
        """In the order of their ids."""
        return list(self._books.values())

    # From request to buffer

    @_locked
    def reserve(self, owner: str, rule: str, heap: Heap, sizes: tuple[int, ...]) -> Reservation:
        """Charge before the first await. Busy if there is no room for another owner, OSError if there is no fd for his set."""
        self._watched(owner, heap)
        if heap.kind is HeapKind.CMA and not self._use("area", heap.area).buffers:
            self._releasing.begin(heap.area, self._releasing.mark(heap.area), alive=0)
        reservation = Reservation(owner, rule, heap, sizes)
        self._open.add(reservation)
        self._charge(owner, rule, heap.area, sum(sizes), len(sizes))
        return reservation

    @_locked
    def give_back(self, reservation: Reservation) -> None:
        self._open.remove(reservation)
        heap = reservation.heap
        self._charge(reservation.owner, reservation.rule, heap.area, -sum(reservation.sizes), -len(reservation.sizes))

    @_locked
    def book(self, reservation: Reservation, fds: Sequence[int], caller: Caller, label: str) -> list[Buffer]:
        """The reservation becomes buffers, weakly referenced. OSError (ENOSPC), MemdError: nothing is booked, and the reservation stays."""
        watched = self._watched(reservation.owner, reservation.heap)
        buffers = [
            self._buffer(reservation, fd, size, caller, label) for fd, size in zip(fds, reservation.sizes, strict=True)
        ]
        self._watch(watched, fds, buffers)
        self.had(reservation)
        self._open.remove(reservation)
        self._books |= {buffer.id: buffer for buffer in buffers}
        watched.ids |= {buffer.id for buffer in buffers}
        return buffers

    @_locked
    def had(self, reservation: Reservation) -> None:
        """The kernel gave what was asked for, whatever became of it."""
        self._releasing.got(reservation.heap.area, sum(reservation.sizes))

    def _watch(self, watched: Watched, fds: Sequence[int], buffers: Sequence[Buffer]) -> None:
        """First into what outlives memd: no buffer may be alive that an end of memd at this moment would leave unknown."""
        try:
            for fd, buffer in zip(fds, buffers, strict=True):
                if self._keeper:
                    self._keeper.write(buffer)
                watched.weak.add(fd, buffer.id)
        except BaseException:
            self._forget({buffer.id for buffer in buffers})
            raise

    def _forget(self, ids: set[int]) -> None:
        if self._keeper:
            self._keeper.forget(ids)

    def _buffer(self, reservation: Reservation, fd: int, size: int, caller: Caller, label: str) -> Buffer:
        self._last_id += 1
        file = os.fstat(fd)
        return Buffer(
            id=self._last_id,
            heap=reservation.heap.name,
            size=size,
            uid=caller.uid,
            pid=caller.pid,
            owner=reservation.owner,
            label=label,
            time=self._wall(),
            inode=file.st_ino,
            device=file.st_dev,
            rule=reservation.rule,
            area=reservation.heap.area,
        )

    @_locked
    def write_off(self, number: int) -> Buffer:
        """Charge its owner no longer; to all lending together it counts until it is gone. NoSuchBuffer if it is not alive by the books."""
        buffer = self._books.get(number)
        if buffer is None:
            raise NoSuchBuffer(f"buffer {number} is not lent, or no longer")
        if buffer.state == WRITTEN_OFF:
            return buffer
        written = replace(buffer, state=WRITTEN_OFF)
        if self._keeper:
            self._keeper.write(written)
        self._count(buffer, -1)
        self._books[number] = written
        self._releasing.replace(written)
        self._count(written, 1)
        return written

    # The kernel's word

    async def refresh(self, owners: Iterable[str] | None = None) -> None:
        """Give back what is gone, of some owners or of all. OSError if the kernel can't be asked."""
        areas = {buffer.area for buffer in self.buffers()} if owners is None else set()
        marks = {area: self._releasing.mark(area) for area in areas}
        await self._read(list(self._sets) if owners is None else [*owners, SHARED])
        for area, mark in marks.items():
            self._releasing.begin(area, mark, self.alive(area))
        if self._releasing.areas:
            await self._releasing.look(self)

    async def _read(self, names: Iterable[str]) -> None:
        for watched in [self._sets[name] for name in dict.fromkeys(names) if name in self._sets]:
            await watched.refresh()

    async def read_area(self, area: str) -> None:
        await self._read([buffer.owner for buffer in self.buffers() if buffer.area == area])

    @_locked
    def alive(self, area: str) -> int:
        """Bytes lent from it whose files are there."""
        return sum(
            buffer.size
            for buffer in self._books.values()
            if buffer.area == area and not self._releasing.has(buffer.id)
        )

    @_locked
    def settled(self, back: Iterable[Buffer]) -> None:
        """What is back is out of the books; what was looked at and is not is `releasing`."""
        for buffer in back:
            self._back(buffer.id)
        for buffer in [one for one in self._books.values() if one.state == LENT and self._releasing.has(one.id)]:
            self._books[buffer.id] = replace(buffer, state=RELEASING)
            self._releasing.replace(self._books[buffer.id])

    async def make_room(self, owner: str) -> None:
        """Before an owner who is new: sets that hold nothing make room for his."""
        if owner not in self._sets and len(self._sets) >= MAX_OWNERS:
            await self.refresh()

    async def close(self) -> None:
        sets, self._sets = self._sets, {}
        for watched in sets.values():
            await watched.close()
        if self._keeper:
            self._keeper.close()

    def _watched(self, owner: str, heap: Heap) -> Watched:
        name = SHARED if heap.kind is HeapKind.SIMULATED else owner
        if name not in self._sets:
            if len(self._sets) >= MAX_OWNERS:
                self._drop_idle()
            weak: WeakSet = InotifySet() if name == SHARED else EpollSet()
            if self._keeper:
                self._keeper.keep(name, weak)
            self._sets[name] = Watched(weak, self._gone, self._clock)
        return self._sets[name]

    def _drop_idle(self) -> None:
        reserved = {reservation.owner for reservation in self._open}
        for name in [name for name, watched in self._sets.items() if watched.idle and name not in reserved]:
            if self._keeper:
                self._keeper.drop(name)
            self._sets.pop(name).weak.close()
        if len(self._sets) >= MAX_OWNERS:
            raise Busy(f"{MAX_OWNERS} owners hold buffers already; ask again when one of them has given all back")

    def _go_on(self, keeper: Keeper) -> None:
        """What an earlier memd lent is charged as it was."""
        self._last_id = keeper.highest
        for owner, kept in keeper.sets.items():
            watched = self._sets[owner] = Watched(kept.weak, self._gone, self._clock)
            watched.ids |= {buffer.id for buffer in kept.buffers}
        found = [buffer for kept in keeper.sets.values() for buffer in kept.buffers]
        for buffer in sorted(found, key=lambda buffer: buffer.id):
            self._books[buffer.id] = buffer
            self._count(buffer, 1)

    @_locked
    def _gone(self, ids: set[int]) -> None:
        """Nobody has a file of them any more."""
        for number in ids:
            if self._releasing.counted(self._books[number].area):
                self._releasing.add(self._books[number])
            else:
                self._back(number)

    def _back(self, number: int) -> None:
        self._forget({number})
        self._count(self._books.pop(number), -1)

    def _count(self, buffer: Buffer, times: int) -> None:
        if buffer.state == WRITTEN_OFF:
            for key in (("all",), ("area", buffer.area)):
                self._add(key, times * buffer.size, times)
        else:
            self._charge(buffer.owner, buffer.rule, buffer.area, times * buffer.size, times)

    def _charge(self, owner: str, rule: str, area: str, size: int, count: int) -> None:
        for key in _keys(owner, rule, area):
            self._add(key, size, count)

    def _add(self, key: Key, size: int, count: int) -> None:
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = Use()
        use.bytes += size
        use.buffers += count
        if not use.buffers:
            del self._uses[key]

    def _use(self, *key: str) -> Use:
        return self._uses.get(key) or NOTHING


@functools.lru_cache(MAX_OWNERS)
def _keys(owner: str, rule: str, area: str) -> tuple[Key, ...]:
    """What a buffer counts against."""
    return ("all",), ("area", area), ("owner", owner), ("share", owner, area), ("rule", rule), ("rule", rule, area)
