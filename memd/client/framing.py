"""Messages of a D-Bus stream and the file descriptors in them, for both clients. D-Bus Specification, "Message Format".

Facts:
- fds travel with the first byte of their message. Reading exactly one message at a time, never a byte of the next, keeps each fd
  with the message it belongs to, whatever the kernel merges.
- Linux gives at most 253 fds at once (SCM_MAX_FD); fewer arrive than were sent, with MSG_CTRUNC, where RLIMIT_NOFILE is reached.
"""

from __future__ import annotations

import array
import io
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from memd import lean
from memd.client.errors import Unreachable, from_bus
from memd.errors import Failed, InvalidArgs

if TYPE_CHECKING:
    from dbus_next.message import Message

MAX_MESSAGE = 16 << 20  # a page of 1000 buffers is half a MiB
SPACE = socket.CMSG_SPACE(253 * 4)
METHOD_RETURN, ERROR, SIGNAL = 2, 3, 4
DRIVER = "org.freedesktop.DBus"
DRIVER_PATH = "/org/freedesktop/DBus"
# No uid is said: the bus takes the socket's own, which is right in a user namespace too. Everything in one write.
GREETING = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
SLOW = "memd did not answer in time; memory pressure may be stalling it: try again, or see `systemctl status memd`"
CUT = "a buffer came, and this process may open no more files (RLIMIT_NOFILE); close some, or raise the limit"
CLOSED = "the bus closed the connection; it may have ended, try again"


class TimedOut(Unreachable):
    """Nothing came in time; what comes later is dropped."""


class Received(NamedTuple):
    """One message and its `fds`, which the holder owns. `cut`: fds were lost on their way."""

    data: bytes
    fds: list[int]
    cut: bool


class Reader:
    """Messages from a socket, each with its own fds. A read that is interrupted loses nothing: the next one goes on."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._data = bytearray()
        self._fds: list[int] = []
        self._cut = False

    def close(self) -> None:
        close_all(self._fds)
        self._fds = []

    def step(self) -> Received | None:
        """One recvmsg; a message when it is whole. BlockingIOError, TimeoutError as the socket is set; Unreachable when it ends."""
        more = self.receive(_length(self._data) - len(self._data))
        if not more:
            raise Unreachable(CLOSED)
        self._data += more
        if _length(self._data) > len(self._data):
            return None
        message = Received(bytes(self._data), self._fds, self._cut)
        self._data, self._fds, self._cut = bytearray(), [], False
        return message

    def receive(self, size: int) -> bytes:
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(size, SPACE, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, TimeoutError):
            raise
        except OSError as error:
            raise Unreachable(f"the connection to the bus broke: {error.strerror or error}; try again") from error
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._fds += array.array("i", content[: len(content) // 4 * 4])
        self._cut |= bool(flags & socket.MSG_CTRUNC)
        return data


def greeted(answer: bytes, address: str) -> bool:
    """Whether `answer` to GREETING is whole and good, False to read on. Unreachable if the bus refuses."""
    if answer.startswith(b"REJECTED") or len(answer) > 4096:
        raise Unreachable(f"the bus at {address} refuses uid {os.getuid()}; is it another user's bus?")
    if answer.count(b"\r\n") < 3:
        return False
    if b"\nAGREE_UNIX_FD" not in answer:
        raise Unreachable(
            f"the bus at {address} passes no file descriptors, which memd lends; use a bus on a unix socket"
        )
    return True


def call(serial: int, target: tuple[str, str, str, str], signature: str, body: tuple[object, ...]) -> bytes:
    """A method call; `target`: destination, path, interface, member. InvalidArgs for what no bus takes."""
    lean.marshalling()
    from dbus_next.message import Message

    try:
        message = Message(*target, signature=signature, body=list(body), serial=serial)
        data: bytes = message._marshall()
    except (ValueError, TypeError, struct.error) as error:
        raise InvalidArgs(f"{target[3]}: {error}") from error
    return data


def parse(data: bytes) -> Message | None:
    """Replies and signals; None for a call, and for a signal that makes no sense: anybody may send one. A reply that makes none is
    memd's fault, and told: Failed."""
    from dbus_next._private.unmarshaller import Unmarshaller

    if data[1] not in (METHOD_RETURN, ERROR, SIGNAL):
        return None
    try:
        message: Message = Unmarshaller(io.BytesIO(data)).unmarshall()
    except Exception as error:  # the library raises what its parts raise: KeyError, struct.error, EOFError and more
        if data[1] == SIGNAL:
            return None
        raise Failed(f"the reply makes no sense: {error}") from error
    return message


def is_signal(message: Message) -> bool:
    return bool(message.message_type.value == SIGNAL)


def outcome(message: Message, received: Received) -> tuple[list[Any], list[int]]:
    """The body of the reply and its fds, which the caller then owns; or raises what the reply names, with the fds closed."""
    if message.message_type.value == METHOD_RETURN and not received.cut:
        return message.body, received.fds
    close_all(received.fds)
    if received.cut:
        raise Failed(CUT)
    text = message.body[0] if message.body and isinstance(message.body[0], str) else ""
    raise from_bus(message.error_name, text)


def close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


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
