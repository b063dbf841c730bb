"""The far end of a lane in the test's own loop."""

from __future__ import annotations

import array
import asyncio
import socket
from collections.abc import Sequence

from memd import lanewire
from memd.errors import MemdError
from memd.model import Grant

SPACE = socket.CMSG_SPACE(253 * 4)


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and its fds, which the receiver owns."""
    data, ancillary, _, _ = sock.recvmsg(lanewire.MAX_REPLY + 1, SPACE, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for _, _, raw in ancillary:
        fds.frombytes(raw)
    return data, list(fds)


class Far:
    """Owns the socket. Requests beyond the window wait here."""

    def __init__(self, fd: int) -> None:
        self.sock = socket.socket(fileno=fd)
        self.sock.setblocking(False)
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[list[Grant] | MemdError]] = {}
        self._window = asyncio.Semaphore(lanewire.WINDOW)
        asyncio.get_running_loop().add_reader(self.sock, self._readable)

    async def allocate(self, heap: str, sizes: Sequence[int], name: str = "") -> list[Grant]:
        async with self._window:
            self._serial += 1
            answer = self._waiting[self._serial] = asyncio.get_running_loop().create_future()
            self.sock.send(lanewire.request(self._serial, heap, tuple(sizes), name))
            result: list[Grant] | MemdError = await answer
        if isinstance(result, MemdError):
            raise result
        return result

    async def ended(self) -> None:
        """EOFError when it has."""
        await self._waiting.setdefault(0, asyncio.get_running_loop().create_future())

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()

    def _readable(self) -> None:
        data, fds = receive(self.sock)
        if not data:
            asyncio.get_running_loop().remove_reader(self.sock)
            self._waiting.setdefault(0, asyncio.get_running_loop().create_future())
            for answer in self._waiting.values():
                answer.set_exception(EOFError())
            return
        serial, heap, buffers, error = lanewire.parse_reply(data)
        grants = [Grant(number, fd, size, heap) for (number, size), fd in zip(buffers, fds, strict=True)]
        self._waiting.pop(serial).set_result(error or grants)
