"""The asyncio client: the same methods as the blocking one, awaited. Source: dbus/org.memd1.Manager.xml.

Every method raises the class of memd.errors that the reply names (NotAllowed, QuotaExceeded, NoSuchHeap, ...), or Unreachable. A call
that is cancelled leaves no fd: a buffer that comes all the same is closed, and memd has it back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from memd import lanewire
from memd.client import aiopressure, protocol
from memd.client.aioconnection import Connection
from memd.client.aiolane import Lane
from memd.client.dmabuf import DmaBuf
from memd.client.lane import Ended, Wish
from memd.errors import MemdError

if TYPE_CHECKING:
    from memd.client.types import BufferFacts, HeapFacts, JobFacts, PressureFacts, Status

T = TypeVar("T")


class AsyncMemd:
    """A connection to memd, for one loop and any number of its tasks: `async with AsyncMemd() as memd:`, or `open` and `close`.

    `address`: `system` (default), `session`, or an address; `timeout`: seconds for one answer. Who allocates more than a few times
    goes by a lane (dbus/lane.md) from then on; `lane=False` keeps to the bus.
    """

    def __init__(self, address: str | None = None, timeout: float = 25.0, *, lane: bool = True) -> None:
        self._connection = Connection(address, timeout)
        self._timeout = timeout
        self._wish = Wish(wanted=lane)
        self._lane: Lane | None = None

    async def __aenter__(self) -> AsyncMemd:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def open(self) -> None:
        """Connect. Unreachable where there is no bus."""
        await self._connection.open()

    def close(self) -> None:
        """Buffers stay open: they are no part of the connection. Whoever waits for an answer gets Unreachable."""
        self._drop_lane(self._lane)
        self._connection.close()

    async def status(self) -> Status:
        """Everything in one round trip."""
        return await self._ask(protocol.status())

    async def heaps(self) -> list[HeapFacts]:
        return (await self.status())["heaps"]

    async def allocate(self, heap: str, size: int, name: str = "") -> DmaBuf:
        """A fresh, zeroed buffer of at least `size` bytes. `heap`: a heap's name, `system`, `contiguous` or `any`; `name`: a label
        for listings, printable ASCII. The caller owns the DmaBuf."""
        found = await self._by_lane(heap, (size,), name)
        if found:
            return found[0]
        buffer = await self._ask(protocol.allocate(heap, size, name))
        self._wish.borrowed()
        return buffer

    async def allocate_many(self, heap: str, sizes: Sequence[int], name: str = "") -> list[DmaBuf]:
        """All or nothing, at most 64, 16 without a lane. The caller owns each DmaBuf."""
        found = await self._by_lane(heap, tuple(sizes), name)
        if found:
            return found
        buffers = await self._ask(protocol.allocate_many(heap, sizes, name))
        self._wish.borrowed()
        return buffers

    async def can_allocate(
        self, heap: str, size: int, *, uid: int | None = None, pid: int | None = None
    ) -> tuple[bool, dict[str, Any]]:
        """(allowed, why): the decision without the buffer. Root may ask for another `uid` or `pid`."""
        return await self._ask(protocol.can_allocate(heap, size, uid, pid))

    async def buffers(
        self, *, heap: str | None = None, owner: str | None = None, older: float | None = None
    ) -> AsyncIterator[BufferFacts]:
        """Lent buffers by id, page for page; root sees all, others their own. `older`: lent longer ago than so many seconds."""
        after: int | None = 0
        while after is not None:
            rows, after = await self._ask(protocol.buffers(after, heap, owner, older))
            for row in rows:
                yield row

    async def write_off(self, number: int) -> dict[str, Any]:
        """Administrators: charge the owner no longer for a buffer that others keep alive. Gives its owner, heap, size and state."""
        return await self._ask(protocol.write_off(number))

    async def set_zram(self, device: str, settings: Mapping[str, str], *, force: bool = False) -> str:
        """Administrators: change a zram device in use. `settings`: keys of [Zram] in memd.conf, "" to take one back; `force`: in spite
        of memory pressure. Gives the path of the job that does it."""
        return await self._ask(protocol.set_zram(device, settings, force=force))

    async def job(self, path: str) -> JobFacts:
        """How far a job is, and how it ended."""
        return await self._ask(protocol.job(path))

    async def cancel_job(self, path: str) -> None:
        """Administrators: ask a job to stop; its state tells when it has."""
        await self._ask(protocol.cancel_job(path))

    async def reload(self) -> dict[str, Any]:
        """Administrators: read the configuration anew; fails whole on a wrong value."""
        return await self._ask(protocol.reload())

    async def open_pressure_fd(self, level: str) -> tuple[socket.socket, str]:
        """(a socket, the level now): a message of one byte at each change of level from `level` (low, medium, critical) on, relief
        included: 0 none, 1 low, 2 medium, 3 critical. An empty message is its end: memd stopped, or too much was left unread. The
        caller owns the socket."""
        return await self._ask(protocol.open_pressure_fd(level))

    def pressure_levels(self, level: str) -> AsyncIterator[str]:
        """The level now, and then at each change of it from `level` on, relief included, as `open_pressure_fd` tells it. Where memd ends
        and starts again the fd is asked for anew, and what has changed meanwhile is told; Unreachable only when the bus goes."""
        return aiopressure.levels(self, level)

    async def pressure(self) -> AsyncIterator[tuple[str, PressureFacts]]:
        """(level, facts) now, and then at each change, relief included. Unreachable when memd goes."""
        with self._connection.listen() as signals:
            for rule in protocol.MATCHES:
                await self._connection.match(rule)
            owner = str((await self._connection.call(*protocol.OWNER))[0][0])
            now = (await self.status())["pressure"]
            yield now["level"], now
            while True:
                change = protocol.pressure_of(await signals.next(), owner)
                if change:
                    yield change

    async def events(self, every: float | None = None) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
        """(signal, facts and arguments) of all that memd tells; None at least each `every` seconds. Unreachable when memd goes."""
        with self._connection.listen() as signals:
            for rule in protocol.EVENT_MATCHES:
                await self._connection.match(rule)
            owner = str((await self._connection.call(*protocol.OWNER))[0][0])
            yield None
            while True:
                try:
                    event = protocol.event_of(await asyncio.wait_for(signals.next(), every), owner)
                except TimeoutError:
                    yield None
                    continue
                if event:
                    yield event

    async def _by_lane(self, heap: str, sizes: tuple[int, ...], name: str) -> list[DmaBuf] | None:
        """None: the bus is the way. A lane that has ended (memd was restarted) gives way to another at the next allocation."""
        if not self._wish.due(len(sizes)):
            return None
        lane = self._lane or await self._open_lane()
        if lane is None:
            return None
        try:
            return await lane.allocate(heap, sizes, name)
        except lanewire.NoRoom:
            return None
        except Ended:
            self._drop_lane(lane)
            return None

    async def _open_lane(self) -> Lane | None:
        """Tasks that come together may open one each: the first stays."""
        try:
            fd = await self._ask(protocol.open_lane())
        except MemdError:
            self._wish.denied()
            return self._lane
        lane = Lane(fd, self._timeout)
        if self._lane:
            lane.close()
        else:
            self._lane = lane
        return self._lane

    def _drop_lane(self, lane: Lane | None) -> None:
        if lane and lane is self._lane:
            self._lane = None
            lane.close()

    async def _ask(self, question: protocol.Question[T]) -> T:
        return question.read(*await self._connection.call(question.target, question.signature, question.arguments))
