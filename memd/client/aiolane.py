"""The lane for an asyncio loop: any number of tasks ask at one time, and each gets its own answer. dbus/lane.md tells the protocol."""

from __future__ import annotations

import asyncio
import socket

from memd import lanewire
from memd.client.dmabuf import DmaBuf
from memd.client.framing import SLOW, TimedOut
from memd.client.lane import Answer, Ended, receive


class Lane:
    """Owns the fd. Requests beyond the window wait here. `timeout`: seconds for one answer."""

    def __init__(self, fd: int, timeout: float) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.settimeout(0)
        self._timeout = timeout
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._window = asyncio.Semaphore(lanewire.WINDOW)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Whoever waits gets Ended."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Ended())

    async def allocate(self, heap: str, sizes: tuple[int, ...], name: str) -> list[DmaBuf]:
        """The caller owns them. NoRoom, Ended, and as AsyncMemd.allocate. A cancelled call leaves no fd."""
        try:
            async with asyncio.timeout(self._timeout), self._window:
                return (await self._answer(heap, sizes, name)).buffers()
        except TimeoutError:
            raise TimedOut(SLOW) from None

    async def _answer(self, heap: str, sizes: tuple[int, ...], name: str) -> Answer:
        serial = self._serial = (self._serial + 1) & 0xFFFFFFFF
        waiting: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[serial] = waiting
        try:
            self._socket.send(lanewire.request(serial, heap, sizes, name), socket.MSG_NOSIGNAL)
            return await waiting
        except OSError as error:
            raise Ended from error
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                waiting.result().close()
            raise
        finally:
            del self._waiting[serial]

    def _readable(self) -> None:
        try:
            answer = receive(self._socket)
        except BlockingIOError:
            return
        except Ended:
            self.close()
            return
        waiting = self._waiting.get(answer.serial)
        if waiting and not waiting.done():
            waiting.set_result(answer)
        else:
            answer.close()
