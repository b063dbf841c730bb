"""One connection to a bus in an asyncio loop: messages in and out with their file descriptors (framing.py).

Facts:
- A reply whose caller timed out or was cancelled may still come, with fds in it: what nobody waits for is dropped, its fds closed.
- asyncio's own streams know no fds, hence a reader and a writer on the bare socket.
- Half a message may have left when a write fails: the connection is then of no more use, and ends.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from memd.client import address, framing
from memd.client.errors import Unreachable
from memd.client.framing import DRIVER, DRIVER_PATH, GREETING, SLOW, Reader, Received, TimedOut
from memd.errors import Failed, MemdError

if TYPE_CHECKING:
    from dbus_next.message import Message

MAX_WAITING = 1024  # signals kept for a listener that is slow
MAX_UNSENT = 1 << 20  # bytes that the bus did not take yet
STEPS = 64  # messages in one wake-up
Target = tuple[str, str, str, str]
Answer = tuple["Message", Received]


class Connection:
    """Belongs to the loop in which it is opened. Ends by `close`, or by the bus; then every call is Unreachable."""

    def __init__(self, word: str | None = None, timeout: float = 25.0) -> None:
        self.address = address.resolve(word)
        self.timeout = timeout
        self._serial = 0
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._listeners: set[Listener] = set()
        self._unsent = bytearray()
        self._socket: socket.socket | None = None
        self._reader: Reader | None = None
        self._end = Unreachable("this connection is not open; `async with AsyncMemd() as memd:` opens one")

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                self._socket = await _connect(self.address)
                await self._authenticate(self._socket)
            self._reader = Reader(self._socket)
            self._loop.add_reader(self._socket, self._readable)
            self.name = str((await self.call((DRIVER, DRIVER_PATH, DRIVER, "Hello")))[0][0])
        except TimeoutError:
            self.close()
            raise TimedOut(SLOW) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._close(Unreachable("this connection was closed"))

    async def call(
        self, target: Target, signature: str = "", body: tuple[object, ...] = ()
    ) -> tuple[list[Any], list[int]]:
        """The reply's body, where an `h` is an index, and its fds, which the caller owns. `target`: destination, path, interface,
        member. Raises what memd.client.errors.from_bus says."""
        if self._socket is None:
            raise self._end
        serial = self._serial = self._serial % 0xFFFFFFFF + 1
        self._send(framing.call(serial, target, signature, body))
        waiting = self._calls[serial] = self._loop.create_future()
        try:
            async with asyncio.timeout(self.timeout):
                message, received = await waiting
        except BaseException as error:
            _drop(waiting)
            if isinstance(error, TimeoutError):
                raise TimedOut(SLOW) from None
            raise
        finally:
            del self._calls[serial]
        return framing.outcome(message, received)

    async def match(self, rule: str) -> None:
        """Subscribe; listeners then get what comes."""
        await self.call((DRIVER, DRIVER_PATH, DRIVER, "AddMatch"), "s", (rule,))

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """Signals from now on, whoever sent them: check the sender."""
        listener = Listener(self._end if self._socket is None else None)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def _authenticate(self, sock: socket.socket) -> None:
        answer = b""
        try:
            await self._loop.sock_sendall(sock, GREETING)
            while not framing.greeted(answer, self.address):
                more = await self._loop.sock_recv(sock, 512)
                if not more:
                    raise Unreachable(framing.CLOSED)
                answer += more
        except TimeoutError:
            raise
        except OSError as error:
            raise Unreachable(f"the connection to the bus broke: {error.strerror}; try again") from error

    def _send(self, data: bytes) -> None:
        if len(self._unsent) > MAX_UNSENT:
            raise Unreachable(f"the bus at {self.address} takes no message; try again")
        self._unsent += data
        self._writable()
        if self._socket is None:
            raise self._end

    def _writable(self) -> None:
        assert self._socket
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._writable)
        except OSError as error:
            self._close(Unreachable(f"the bus at {self.address} takes no message: {error.strerror}; try again"))
        else:
            self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            for _ in range(STEPS):
                if self._reader and (received := self._reader.step()):
                    self._take(received)
        except BlockingIOError:
            return
        except Unreachable as end:
            self._close(end)

    def _take(self, received: Received) -> None:
        """To whom it concerns; what concerns nobody is dropped, and its fds closed."""
        try:
            message = framing.parse(received.data)
        except Failed as nonsense:
            self._fail(nonsense)
            message = None
        waiting = self._calls.get(message.reply_serial) if message and not framing.is_signal(message) else None
        if message and waiting and not waiting.done():
            waiting.set_result((message, received))
            return
        framing.close_all(received.fds)
        for listener in self._listeners if message and framing.is_signal(message) else ():
            listener.put(message)

    def _fail(self, error: MemdError) -> None:
        for waiting in self._calls.values():
            if not waiting.done():
                waiting.set_exception(error)

    def _close(self, end: Unreachable) -> None:
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._socket, self._end = None, end
        if self._reader:
            self._reader.close()
        self._fail(end)
        for listener in self._listeners:
            listener.end(end)


class Listener:
    """Signals for one reader, the latest MAX_WAITING of them."""

    def __init__(self, ended: Unreachable | None) -> None:
        self._signals: collections.deque[Message] = collections.deque(maxlen=MAX_WAITING)
        self._ended = ended
        self._news = asyncio.Event()

    async def next(self) -> Message:
        """Unreachable when the connection has ended, and all that came before was given."""
        while not self._signals:
            if self._ended:
                raise self._ended
            self._news.clear()
            await self._news.wait()
        return self._signals.popleft()

    def put(self, signal: Message) -> None:
        self._signals.append(signal)
        self._news.set()

    def end(self, why: Unreachable) -> None:
        self._ended = why
        self._news.set()


def _drop(waiting: asyncio.Future[Answer]) -> None:
    """The answer came, and whoever waited for it went away at the same moment."""
    if waiting.done() and not waiting.cancelled() and not waiting.exception():
        framing.close_all(waiting.result()[1].fds)


async def _connect(where: str) -> socket.socket:
    trouble: OSError | None = None
    for name in address.sockets(where):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(sock, name)
        except OSError as error:
            sock.close()
            trouble = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise address.no_bus(where, trouble) from trouble
