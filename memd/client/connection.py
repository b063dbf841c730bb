"""One blocking connection to a bus: a socket, authentication, messages in and out with their file descriptors (framing.py).

Facts:
- A reply to a call that timed out may still come, with fds in it: every message that nobody waits for is dropped, and its fds closed.
- Anyone on a bus may send us calls and signals, fds included. Calls are dropped unparsed; signals count from their owner only.
"""

from __future__ import annotations

import collections
import socket
import time
from typing import TYPE_CHECKING, Any

from memd.client import address, framing
from memd.client.errors import Unreachable
from memd.client.framing import DRIVER, DRIVER_PATH, GREETING, SLOW, Reader, TimedOut

if TYPE_CHECKING:
    from dbus_next.message import Message

MAX_WAITING = 1024  # signals kept for a reader that is slow


class Connection:
    """Not for several threads at once: one connection each. `close` or use as a context manager."""

    def __init__(self, word: str | None = None, timeout: float = 25.0) -> None:
        self.address = address.resolve(word)
        self.timeout = timeout
        self._serial = 0
        self._signals: collections.deque[Message] = collections.deque(maxlen=MAX_WAITING)
        self._socket = _connect(self.address)
        self._reader = Reader(self._socket)
        try:
            self._authenticate(time.monotonic() + timeout)
            self.name: str = self.call((DRIVER, DRIVER_PATH, DRIVER, "Hello"))[0][0]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def call(
        self, target: tuple[str, str, str, str], signature: str = "", body: tuple[object, ...] = ()
    ) -> tuple[list[Any], list[int]]:
        """The reply's body, where an `h` is an index, and its fds, which the caller owns. `target`: destination, path, interface,
        member. Raises what memd.client.errors.from_bus says."""
        serial = self._serial = self._serial % 0xFFFFFFFF + 1
        self._write(framing.call(serial, target, signature, body))
        deadline = time.monotonic() + self.timeout
        while (reply := self._receive(deadline, serial)) is None:
            pass
        return reply

    def match(self, rule: str) -> None:
        """Subscribe; `signal` then gives what comes."""
        self.call((DRIVER, DRIVER_PATH, DRIVER, "AddMatch"), "s", (rule,))

    def signal(self, timeout: float | None = None) -> Message:
        """The next signal, whoever sent it: check the sender. TimedOut after `timeout` seconds, never if None."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._signals:
            self._receive(deadline, 0)
        return self._signals.popleft()

    def _write(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self.timeout)
            self._socket.sendall(data)
        except OSError as error:
            self._socket.close()  # half a message may have left
            raise Unreachable(
                f"the bus at {self.address} takes no message: {error.strerror or error}; try again"
            ) from error

    def _receive(self, deadline: float | None, wanted: int) -> tuple[list[Any], list[int]] | None:
        """One message: what the reply to `wanted` says; None for a signal, which is put aside, and for anything else, which is dropped."""
        received = self._read(deadline)
        fds = received.fds
        try:
            message = framing.parse(received.data)
            if message is not None and framing.is_signal(message):
                self._signals.append(message)
            elif message is not None and message.reply_serial == wanted:
                fds = []
                return framing.outcome(message, received)
        finally:
            framing.close_all(fds)
        return None

    def _read(self, deadline: float | None) -> framing.Received:
        try:
            while True:
                self._wait_until(deadline)
                if (received := self._reader.step()) is not None:
                    return received
        except TimeoutError:
            raise TimedOut(SLOW) from None

    def _wait_until(self, deadline: float | None) -> None:
        try:
            self._socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
        except OSError as error:
            raise Unreachable(f"the connection to the bus broke: {error.strerror}; try again") from error

    def _authenticate(self, deadline: float) -> None:
        self._write(GREETING)
        answer = b""
        try:
            while not framing.greeted(answer, self.address):
                self._wait_until(deadline)
                more = self._reader.receive(512)
                if not more:
                    raise Unreachable(framing.CLOSED)
                answer += more
        except TimeoutError:
            raise TimedOut(SLOW) from None


def _connect(where: str) -> socket.socket:
    trouble: OSError | None = None
    for name in address.sockets(where):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.connect(name)
        except OSError as error:
            sock.close()
            trouble = error
        else:
            return sock
    raise address.no_bus(where, trouble) from trouble
