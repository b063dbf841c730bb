"""One blocking connection to a bus: a socket, authentication, messages in and out with their file descriptors.

Facts:
- fds travel with the first byte of their message. Reading exactly one message at a time, never a byte of the next, keeps each fd
  with the message it belongs to, whatever the kernel merges.
- A reply to a call that timed out may still come, with fds in it: every message that nobody waits for is dropped, and its fds closed.
- Anyone on a bus may send us calls and signals, fds included. Calls are dropped unparsed; signals count from their owner only.
- Linux gives at most 253 fds at once (SCM_MAX_FD); fewer arrive than were sent, with MSG_CTRUNC, where RLIMIT_NOFILE is reached.
"""

from __future__ import annotations

import array
import collections
import io
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from memd.client import address
from memd.client.errors import Unreachable, from_bus
from memd.errors import Failed, InvalidArgs

if TYPE_CHECKING:
    from dbus_next.message import Message

MAX_MESSAGE = 16 << 20  # a page of 1000 buffers is half a MiB
MAX_WAITING = 1024  # signals kept for a reader that is slow
SPACE = socket.CMSG_SPACE(253 * 4)
METHOD_RETURN, ERROR, SIGNAL = 2, 3, 4
SLOW = "memd did not answer in time; memory pressure may be stalling it: try again, or see `systemctl status memd`"
DRIVER = "org.freedesktop.DBus"
DRIVER_PATH = "/org/freedesktop/DBus"


class TimedOut(Unreachable):
    """Nothing came in time; what comes later is dropped."""


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
            self.name: str = self.call(DRIVER, DRIVER_PATH, DRIVER, "Hello")[0][0]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: tuple[object, ...] = (),
    ) -> tuple[list[Any], list[int]]:
        """The reply's body, where an `h` is an index, and its fds, which the caller owns. Raises what memd.client.errors.from_bus says."""
        serial = self._send(destination, path, interface, member, signature, body)
        deadline = time.monotonic() + self.timeout
        while True:
            message, fds = self._receive(deadline, serial)
            if message is None:
                continue
            if message.message_type.value == METHOD_RETURN:
                return message.body, fds
            _close(fds)
            text = message.body[0] if message.body and isinstance(message.body[0], str) else ""
            raise from_bus(message.error_name, text)

    def match(self, rule: str) -> None:
        """Subscribe; `signal` then gives what comes."""
        self.call(DRIVER, DRIVER_PATH, DRIVER, "AddMatch", "s", (rule,))

    def signal(self, timeout: float | None = None) -> Message:
        """The next signal, whoever sent it: check the sender. TimedOut after `timeout` seconds, never if None."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._signals:
            self._receive(deadline, 0)
        return self._signals.popleft()

    def _send(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: tuple[object, ...]
    ) -> int:
        from dbus_next.message import Message

        self._serial = self._serial % 0xFFFFFFFF + 1
        try:
            message = Message(
                destination, path, interface, member, signature=signature, body=list(body), serial=self._serial
            )
            data = message._marshall()
        except (ValueError, TypeError, struct.error) as error:
            raise InvalidArgs(f"{member}: {error}") from error
        self._write(data)
        return self._serial

    def _write(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self.timeout)
            self._socket.sendall(data)
        except OSError as error:
            self._socket.close()  # half a message may have left
            raise Unreachable(
                f"the bus at {self.address} takes no message: {error.strerror or error}; try again"
            ) from error

    def _receive(self, deadline: float | None, wanted: int) -> tuple[Message | None, list[int]]:
        """One message: (it, its fds) if it is the reply to `wanted`; a signal is put aside, anything else dropped: (None, [])."""
        data, fds, cut = self._reader.read(deadline)
        try:
            message = _parse(data) if data[1] in (METHOD_RETURN, ERROR, SIGNAL) else None
            if message is not None and message.message_type.value == SIGNAL:
                self._signals.append(message)
            elif message is not None and message.reply_serial == wanted:
                if cut:
                    raise Failed(
                        "a buffer came, and this process may open no more files (RLIMIT_NOFILE); close some, or raise the limit"
                    )
                kept, fds = fds, []
                return message, kept
        finally:
            _close(fds)
        return None, []

    def _authenticate(self, deadline: float) -> None:
        # No uid is said: the bus takes the socket's own, which is right in a user namespace too. Everything in one write.
        self._write(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
        answer = b""
        while answer.count(b"\r\n") < 3 and (more := self._reader.receive(512, deadline)):
            answer += more
            if answer.startswith(b"REJECTED") or len(answer) > 4096:
                raise Unreachable(f"the bus at {self.address} refuses uid {os.getuid()}; is it another user's bus?")
        if b"\nAGREE_UNIX_FD" not in answer:
            raise Unreachable(
                f"the bus at {self.address} passes no file descriptors, which memd lends; use a bus on a unix socket"
            )


class Reader:
    """Messages from a socket, each with its own fds. A read that times out loses nothing: the next one goes on."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._data = bytearray()
        self._fds: list[int] = []
        self._cut = False

    def close(self) -> None:
        _close(self._fds)
        self._fds = []

    def read(self, deadline: float | None) -> tuple[bytes, list[int], bool]:
        """(message, its fds, whether fds were lost). The caller owns the fds."""
        while (missing := _length(self._data) - len(self._data)) > 0:
            more = self.receive(missing, deadline)
            if not more:
                raise Unreachable("the bus closed the connection; it may have ended, try again")
            self._data += more
        message = bytes(self._data), self._fds, self._cut
        self._data, self._fds, self._cut = bytearray(), [], False
        return message

    def receive(self, size: int, deadline: float | None) -> bytes:
        try:
            self._socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
            data, ancillary, flags, _ = self._socket.recvmsg(size, SPACE, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:
            raise TimedOut(SLOW) from None
        except OSError as error:
            raise Unreachable(f"the connection to the bus broke: {error.strerror or error}; try again") from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._fds += array.array("i", content[: len(content) // 4 * 4])
        self._cut |= bool(flags & socket.MSG_CTRUNC)
        return data


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
    reason = trouble.strerror or str(trouble) if trouble else ""
    raise Unreachable(f"there is no bus at {where} ({reason}); is dbus.service running?") from trouble


def _length(data: bytearray) -> int:
    """Of the message that begins with `data`; 16 while not even that can be told."""
    if len(data) < 16:
        return 16
    if data[0] not in b"lB":
        raise Unreachable("the other side speaks no D-Bus; is this the address of a bus?")
    body, fields = struct.unpack_from("<I4xI" if data[0] == ord("l") else ">I4xI", data, 4)
    length: int = 16 + (fields + 7) // 8 * 8 + body
    if length > MAX_MESSAGE:
        raise Unreachable(f"a message of {length} bytes came, and at most {MAX_MESSAGE} are taken")
    return length


def _parse(data: bytes) -> Message | None:
    """None for a signal that makes no sense: anybody may send one. A reply that makes none is memd's fault, and told."""
    from dbus_next._private.unmarshaller import Unmarshaller

    try:
        message: Message = Unmarshaller(io.BytesIO(data)).unmarshall()
    except Exception as error:  # the library raises what its parts raise: KeyError, struct.error, EOFError and more
        if data[1] == SIGNAL:
            return None
        raise Failed(f"the reply makes no sense: {error}") from error
    return message


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
