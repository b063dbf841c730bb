"""A request that was granted and reserved, on its way through the kernel.

Whatever happens to it (the kernel refuses, the caller goes away while it waits, while it runs, or while its answer is on the way), the
reservation ends exactly once and every fd has exactly one owner.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from memd.errors import Busy, MemdError
from memd.kernel import dmabuf
from memd.kernel.requester import Requester
from memd.model import Caller, Grant, HeapKind, Request
from memd.service import source
from memd.service.charges import Reservation
from memd.service.ledger import Ledger


class Errand:
    """A workers.Job. `answer` waits for its end."""

    def __init__(
        self,
        ledger: Ledger,
        reservation: Reservation,
        caller: Caller,
        request: Request,
        apart: Requester | None = None,
    ) -> None:
        """`apart`: who makes it in a process of its own."""
        self._apart = apart
        self.before: Callable[[], None] | None = None  # in the area's own thread
        self._ledger, self._reservation = ledger, reservation
        self._caller, self._request = caller, request
        self._answer: asyncio.Future[list[Grant] | MemdError] = asyncio.get_running_loop().create_future()

    @property
    def owner(self) -> str:
        return self._reservation.owner

    @property
    def wanted(self) -> bool:
        return not self._answer.done()

    async def answer(self) -> list[Grant]:
        """The receiver owns the fds. MemdError if the kernel had none."""
        try:
            result = await self._answer
        except asyncio.CancelledError:
            self._take_back()
            raise
        if isinstance(result, MemdError):
            raise result
        return result

    def work(self) -> list[int]:
        if self.before:
            self.before()
        self._reservation.at_kernel = True
        if self._apart:
            return source.allocate_apart(self._apart, self._request.heap, self._request.sizes)
        return source.allocate(self._request.heap, self._request.sizes)

    def work_here(self) -> None:
        """In the loop: only for what takes the kernel microseconds."""
        try:
            fds = self.work()
        except OSError as error:
            self.fail(error)
        else:
            self.finish(fds)

    def finish(self, fds: list[int]) -> None:
        if not self.wanted:
            self._throw_away(fds, Busy("nobody waits for it"))
            return
        try:
            grants = self._book(fds)
        except (OSError, MemdError) as error:
            self._throw_away(fds, error)
        else:
            self._answer.set_result(grants)

    def _throw_away(self, fds: list[int], why: Exception) -> None:
        source.close(fds)
        self._ledger.had(self._reservation)
        self.fail(why)

    def fail(self, error: BaseException) -> None:
        self._ledger.give_back(self._reservation)
        if self.wanted:
            self._answer.set_result(source.translate(error, self._request.heap))

    def _book(self, fds: list[int]) -> list[Grant]:
        return book(self._ledger, self._reservation, self._caller, self._request, fds)

    def _take_back(self) -> None:
        """Cancelled after the answer was set and before it was read: the grants have no owner but this."""
        if self._answer.done() and not self._answer.cancelled():
            result = self._answer.result()
            source.close([] if isinstance(result, MemdError) else [grant.fd for grant in result])


def book(
    ledger: Ledger, reservation: Reservation, caller: Caller, request: Request, fds: Sequence[int]
) -> list[Grant]:
    """The reservation's end: buffers that are known by weak reference. OSError, MemdError: the reservation stays, and so do the fds."""
    buffers = ledger.book(reservation, fds, caller, request.label)
    if request.heap.kind is not HeapKind.SIMULATED:
        _name(fds, reservation.owner, request.label)
    return [Grant(buffer.id, fd, buffer.size, buffer.heap) for fd, buffer in zip(fds, buffers, strict=True)]


def _name(fds: Sequence[int], owner: str, label: str) -> None:
    """Advisory, for whoever reads fdinfo or bufinfo; a kernel that takes no name loses nothing."""
    name = f"memd:{owner.removeprefix('uid:')}:{label}".encode("ascii", "replace")
    for fd in fds:
        with contextlib.suppress(OSError):
            dmabuf.set_name(fd, name)
