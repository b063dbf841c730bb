"""The books of what is lent, kept honest by weak references: alive means alive in the kernel, whoever holds the buffer.

A grant that fits the books reads nothing. When it does not fit, or a listing wants the truth, the kernel is asked which buffers are
left, and what is gone is given back. The books are bounded by the caps, the sets (sets.py) by MAX_OWNERS. Where systemd keeps fds for
memd, a keeper has a copy of both that outlives memd.

Two threads use the books: the loop, and the lane's. `lock` is held from a decision to its reservation, and around each change here; never
over an await or over an allocation. `handing` is held by the lane's thread from a reply to the closing of its own fd: who closes what he
got and asks then must not find it alive by memd's copy.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from memd.errors import NoSuchBuffer
from memd.model import LENT, POOLED, RELEASING, WRITTEN_OFF, Buffer, Caller, Heap, HeapKind, Usage
from memd.policy.admission import Cap
from memd.service.alive import Watched
from memd.service.charges import Charges, Limit, Reservation
from memd.service.keeper import Keeper
from memd.service.releasing import Releasing
from memd.service.sets import Sets

P = ParamSpec("P")
T = TypeVar("T")


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
        self.handing = threading.Lock()
        self._wall, self._keeper = wall, keeper
        self._last_id = 0
        self._books: dict[int, Buffer] = {}
        self._pooled: dict[int, Buffer] = {}
        self._charges = Charges()
        self._sets = Sets(self._gone, clock, keeper)
        self._releasing = Releasing(released)
        if keeper:
            self._go_on(keeper)

    # What is charged

    @_locked
    def usage(self, owner: str, rule: str, areas: Iterable[str], area: str = "") -> Usage:
        """Reservations included. `areas`: those of the heaps that the deciding rule names; `area`: that of the request's heap."""
        return self._charges.usage(owner, rule, areas, area)

    @_locked
    def charged(self) -> dict[str, tuple[int, int]]:
        """Owner -> (bytes, buffers), reservations included; what was written off is charged to nobody."""
        return self._charges.owners()

    @_locked
    def total(self) -> tuple[int, int]:
        """(bytes, buffers) of all lending together, reservations included."""
        return self._charges.total()

    def limits(self, caps: Iterable[Cap], owner: str, rule: str, areas: Iterable[str], area: str) -> tuple[Limit, ...]:
        """For `fits`: what binds this owner's requests by this rule for this area, for as long as the caps are these."""
        return self._charges.limits(caps, owner, rule, areas, area)

    def fits(self, limits: Iterable[Limit], size: int, count: int) -> bool:
        """Whether the books have room for so much more. Held under `lock` until it is reserved."""
        return self._charges.fits(limits, size, count)

    def knows(self, owner: str, heap: Heap) -> bool:
        """Whether a reservation for this owner needs nothing that may take its time."""
        return self._sets.has(owner, heap)

    @_locked
    def pending(self, area: str | None = None) -> int:
        """Bytes that are promised and not yet taken from the kernel, of one area or of all."""
        return self._charges.pending(area)

    @_locked
    def waiting(self, area: str) -> int:
        """Of that, bytes of one area of which the kernel has certainly taken nothing."""
        return self._charges.waiting(area)

    @_locked
    def pending_outside(self) -> int:
        """Of that, bytes that may come from memory outside of CMA areas."""
        return self._charges.pending_outside()

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
        if not self._pooled:
            return list(self._books.values())
        return sorted((*self._books.values(), *self._pooled.values()), key=lambda buffer: buffer.id)

    # From request to buffer

    def reserve(
        self, owner: str, rule: str, heap: Heap, sizes: tuple[int, ...], outside: int | None = None
    ) -> Reservation:
        """Charge before the first await. Busy if there is no room for another owner, OSError if there is no fd for his set. `outside`:
        bytes of memory outside of CMA areas that the request may cost; None: all of it."""
        with self.lock:
            self._watched(owner, heap)
            if heap.kind is HeapKind.CMA and not self._charges.buffers_of(heap.area):
                self._releasing.begin(heap.area, self._releasing.mark(heap.area), alive=0)
            reservation = Reservation(owner, rule, heap, sizes, sum(sizes) if outside is None else outside)
            self._charges.reserve(reservation)
        return reservation

    @_locked
    def promise(self, owner: str, heap: Heap, size: int) -> Reservation:
        """For a buffer of a pool, which memd itself keeps alive: no set will have it."""
        if heap.kind is HeapKind.CMA and not self._charges.buffers_of(heap.area):
            self._releasing.begin(heap.area, self._releasing.mark(heap.area), alive=0)
        reservation = Reservation(owner, "", heap, (size,), size)
        self._charges.reserve(reservation)
        return reservation

    @_locked
    def pool(self, reservation: Reservation, fd: int, label: str) -> Buffer:
        """The promise is kept: a buffer that waits, charged as it was. The fd stays the caller's."""
        [buffer] = self._buffers(reservation, [fd], Caller("", 0, frozenset(), os.getpid(), reservation.owner), label)
        buffer = self._pooled[buffer.id] = buffer._replace(state=POOLED)
        self.had(reservation)
        self._charges.taken(reservation)
        return buffer

    @_locked
    def unpool(self, buffers: Iterable[Buffer]) -> None:
        """They are lent now, or closed."""
        for buffer in buffers:
            del self._pooled[buffer.id]
            self._charges.count(buffer, -1)
            self._releasing.got(buffer.area, -buffer.size)

    @_locked
    def pool_again(self, buffers: Iterable[Buffer]) -> None:
        """They are not lent after all."""
        for buffer in buffers:
            self._pooled[buffer.id] = buffer
            self._charges.count(buffer, 1)
            self._releasing.got(buffer.area, buffer.size)

    @_locked
    def give_back(self, reservation: Reservation) -> None:
        self._charges.give_back(reservation)

    def book(self, reservation: Reservation, fds: Sequence[int], caller: Caller, label: str) -> list[Buffer]:
        """The reservation becomes buffers, weakly referenced. OSError (ENOSPC), MemdError: nothing is booked, and the reservation stays."""
        with self.lock:
            watched = self._watched(reservation.owner, reservation.heap)
            buffers = self._buffers(reservation, fds, caller, label)
            self._watch(watched, fds, buffers)
            if reservation.heap.kind is HeapKind.CMA:
                self.had(reservation)
            self._charges.taken(reservation)
            for buffer in buffers:
                self._books[buffer.id] = buffer
                watched.ids.add(buffer.id)
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

    def _buffers(self, reservation: Reservation, fds: Sequence[int], caller: Caller, label: str) -> list[Buffer]:
        heap, now, owner, rule = reservation.heap, self._wall(), reservation.owner, reservation.rule
        name, area, buffers = heap.name, heap.area, []
        for fd, size in zip(fds, reservation.sizes, strict=True):
            self._last_id += 1
            file = os.fstat(fd)
            # In the order of its fields: this is done for each buffer.
            buffers.append(
                Buffer(
                    self._last_id, name, size, caller.uid, caller.pid, owner, label, now, file.st_ino, file.st_dev, rule, area
                )
            )  # fmt: skip
        return buffers

    @_locked
    def write_off(self, number: int) -> Buffer:
        """Charge its owner no longer; to all lending together it counts until it is gone. NoSuchBuffer if it is not alive by the books."""
        buffer = self._books.get(number)
        if buffer is None:
            raise NoSuchBuffer(f"buffer {number} is not lent, or no longer")
        if buffer.state == WRITTEN_OFF:
            return buffer
        written = buffer._replace(state=WRITTEN_OFF)
        if self._keeper:
            self._keeper.write(written)
        self._charges.count(buffer, -1)
        self._books[number] = written
        self._releasing.replace(written)
        self._charges.count(written, 1)
        return written

    # The kernel's word

    async def refresh(self, owners: Iterable[str] | None = None) -> None:
        """Give back what is gone, of some owners or of all. OSError if the kernel can't be asked."""
        with self.handing:
            pass
        areas = self._charges.areas() if owners is None else set()
        marks = {area: self._releasing.mark(area) for area in areas}
        await self._sets.read(owners)
        for area, mark in marks.items():
            self._releasing.begin(area, mark, self.alive(area))
        if self._releasing.areas:
            await self._releasing.look(self)

    async def read_area(self, area: str) -> None:
        await self._sets.read([buffer.owner for buffer in self.buffers() if buffer.area == area])

    @_locked
    def alive(self, area: str) -> int:
        """Bytes lent from it whose files are there."""
        return sum(
            buffer.size
            for buffer in (*self._books.values(), *self._pooled.values())
            if buffer.area == area and not self._releasing.has(buffer.id)
        )

    @_locked
    def settled(self, back: Iterable[Buffer]) -> None:
        """What is back is out of the books; what was looked at and is not is `releasing`."""
        for buffer in back:
            self._back(buffer.id)
        for buffer in [one for one in self._books.values() if one.state == LENT and self._releasing.has(one.id)]:
            self._books[buffer.id] = buffer._replace(state=RELEASING)
            self._releasing.replace(self._books[buffer.id])

    async def make_room(self, owner: str) -> None:
        """Before an owner who is new: sets that hold nothing make room for his."""
        if not self._sets.has_room_for(owner):
            await self.refresh()

    async def close(self) -> None:
        await self._sets.close()
        if self._keeper:
            self._keeper.close()

    def _watched(self, owner: str, heap: Heap) -> Watched:
        return self._sets.of(owner, heap, self._charges.reserving)

    def _go_on(self, keeper: Keeper) -> None:
        """What an earlier memd lent is charged as it was."""
        self._last_id = keeper.highest
        found = [buffer for kept in keeper.sets.values() for buffer in kept.buffers]
        for buffer in sorted(found, key=lambda buffer: buffer.id):
            self._books[buffer.id] = buffer
            self._charges.count(buffer, 1)

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
        self._charges.count(self._books.pop(number), -1)
