"""The blocking client: one call, one method. Source: dbus/org.memd1.Manager.xml.

Every method raises the class of memd.errors that the reply names (NotAllowed, QuotaExceeded, NoSuchHeap, ...), or Unreachable.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from memd import lanewire
from memd.client import pressure, protocol
from memd.client.connection import Connection
from memd.client.dmabuf import DmaBuf
from memd.client.framing import TimedOut
from memd.client.lane import Ended, Lane, Wish
from memd.errors import MemdError

if TYPE_CHECKING:
    from memd.client.types import BufferFacts, HeapFacts, JobFacts, PressureFacts, Status

T = TypeVar("T")


class Memd:
    """A connection to memd. `address`: `system` (default), `session`, or an address; `timeout`: seconds for one answer.

    Who allocates more than a few times goes by a lane (dbus/lane.md) from then on; `lane=False` keeps to the bus.
    Not for several threads at once: make one each. Raises Unreachable where there is no bus.
    """

    def __init__(self, address: str | None = None, timeout: float = 25.0, *, lane: bool = True) -> None:
        self._connection = Connection(address, timeout)
        self._wish = Wish(wanted=lane)
        self._lane: Lane | None = None

    def __enter__(self) -> Memd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Buffers stay open: they are no part of the connection."""
        self._drop_lane()
        self._connection.close()

    def status(self) -> Status:
        """Everything in one round trip."""
        return self._ask(protocol.status())

    def heaps(self) -> list[HeapFacts]:
        return self.status()["heaps"]

    def allocate(self, heap: str, size: int, name: str = "") -> DmaBuf:
        """A fresh, zeroed buffer of at least `size` bytes. `heap`: a heap's name, `system`, `contiguous` or `any`; `name`: a label
        for listings, printable ASCII. The caller owns the DmaBuf."""
        found = self._by_lane(heap, (size,), name)
        if found:
            return found[0]
        buffer = self._ask(protocol.allocate(heap, size, name))
        self._wish.borrowed()
        return buffer

    def allocate_many(self, heap: str, sizes: Sequence[int], name: str = "") -> list[DmaBuf]:
        """All or nothing, at most 64, 16 without a lane. The caller owns each DmaBuf."""
        found = self._by_lane(heap, tuple(sizes), name)
        if found:
            return found
        buffers = self._ask(protocol.allocate_many(heap, sizes, name))
        self._wish.borrowed()
        return buffers

    def can_allocate(
        self, heap: str, size: int, *, uid: int | None = None, pid: int | None = None
    ) -> tuple[bool, dict[str, Any]]:
        """(allowed, why): the decision without the buffer. Root may ask for another `uid` or `pid`."""
        return self._ask(protocol.can_allocate(heap, size, uid, pid))

    def buffers(
        self, *, heap: str | None = None, owner: str | None = None, older: float | None = None
    ) -> Iterator[BufferFacts]:
        """Lent buffers by id, page for page; root sees all, others their own. `older`: lent longer ago than so many seconds."""
        after: int | None = 0
        while after is not None:
            rows, after = self._ask(protocol.buffers(after, heap, owner, older))
            yield from rows

    def write_off(self, number: int) -> dict[str, Any]:
        """Administrators: charge the owner no longer for a buffer that others keep alive. Gives its owner, heap, size and state."""
        return self._ask(protocol.write_off(number))

    def set_zram(self, device: str, settings: Mapping[str, str], *, force: bool = False) -> str:
        """Administrators: change a zram device in use. `settings`: keys of [Zram] in memd.conf, "" to take one back; `force`: in spite
        of memory pressure. Gives the path of the job that does it."""
        return self._ask(protocol.set_zram(device, settings, force=force))

    def job(self, path: str) -> JobFacts:
        """How far a job is, and how it ended."""
        return self._ask(protocol.job(path))

    def cancel_job(self, path: str) -> None:
        """Administrators: ask a job to stop; its state tells when it has."""
        self._ask(protocol.cancel_job(path))

    def reload(self) -> dict[str, Any]:
        """Administrators: read the configuration anew; fails whole on a wrong value."""
        return self._ask(protocol.reload())

    def open_pressure_fd(self, level: str) -> tuple[socket.socket, str]:
        """(a socket, the level now): a message of one byte at each change of level from `level` (low, medium, critical) on, relief
        included: 0 none, 1 low, 2 medium, 3 critical. An empty message is its end: memd stopped, or too much was left unread. The
        caller owns the socket."""
        return self._ask(protocol.open_pressure_fd(level))

    def pressure_levels(self, level: str) -> Iterator[str]:
        """The level now, and then at each change of it from `level` on, relief included, as `open_pressure_fd` tells it. Where memd ends
        and starts again the fd is asked for anew, and what has changed meanwhile is told; Unreachable only when the bus goes."""
        return pressure.levels(self, level)

    def pressure(self) -> Iterator[tuple[str, PressureFacts]]:
        """(level, facts) now, and then at each change, relief included. Unreachable when memd goes."""
        for rule in protocol.MATCHES:
            self._connection.match(rule)
        owner = str(self._connection.call(*protocol.OWNER)[0][0])
        now = self.status()["pressure"]
        yield now["level"], now
        while True:
            change = protocol.pressure_of(self._connection.signal(), owner)
            if change:
                yield change

    def events(self, every: float | None = None) -> Iterator[tuple[str, dict[str, Any]] | None]:
        """(signal, facts and arguments) of all that memd tells; None at least each `every` seconds. Unreachable when memd goes."""
        for rule in protocol.EVENT_MATCHES:
            self._connection.match(rule)
        owner = str(self._connection.call(*protocol.OWNER)[0][0])
        yield None
        while True:
            try:
                signal = self._connection.signal(every)
            except TimedOut:
                yield None
                continue
            event = protocol.event_of(signal, owner)
            if event:
                yield event

    def _by_lane(self, heap: str, sizes: tuple[int, ...], name: str) -> list[DmaBuf] | None:
        """None: the bus is the way. A lane that has ended (memd was restarted) gives way to another at the next allocation."""
        if not self._wish.due(len(sizes)):
            return None
        try:
            lane = self._lane or self._open_lane()
            return lane.allocate(heap, sizes, name) if lane else None
        except lanewire.NoRoom:
            return None
        except Ended:
            self._drop_lane()
            return None

    def _open_lane(self) -> Lane | None:
        try:
            self._lane = Lane(self._ask(protocol.open_lane()), self._connection.timeout)
        except MemdError:
            self._wish.denied()
        return self._lane

    def _drop_lane(self) -> None:
        lane, self._lane = self._lane, None
        if lane:
            lane.close()

    def _ask(self, question: protocol.Question[T]) -> T:
        return question.read(*self._connection.call(question.target, question.signature, question.arguments))
