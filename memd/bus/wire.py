"""Bytes to messages: framing, headers, and who owns which fd. No loop, no dispatch; bodies stay bytes.

D-Bus Specification, "Message Format" and "Header Fields". Facts that bite:
- fds belong to the message in whose bytes they arrived: reading never goes beyond the end of one message, and each has a list of its own.
- recvmsg gives fds without CLOEXEC unless it is asked for it, and silently fewer than were sent where the process has no number left.
- a header field with an unknown code must be ignored (dbus-broker sends on what clients make up), whatever its type.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field

from memd.bus.library import load

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_REPLY = 1
MAX_BODY = 64 * 1024
MAX_HEADER = 64 * 1024
STEPS = 64  # recvmsg calls in one wake-up, so that a flood leaves the loop to others
SLICE = 0.005  # ... and seconds, for messages that are slow to handle

_FIXED = 16
_ENDIAN = {ord("l"): "<", ord("B"): ">"}
_CMSG = socket.CMSG_SPACE(253 * 4)  # SCM_MAX_FD: nothing is ever cut off
_NAMES = {
    1: "path", 2: "interface", 3: "member", 4: "error_name", 5: "reply_serial", 6: "destination", 7: "sender",
    8: "signature", 9: "unix_fds",
}  # fmt: skip


def close_all(fds: Iterable[int]) -> None:
    """Close each fd; one that is closed already is none of our business."""
    for fd in set(fds):
        try:
            os.close(fd)
        except OSError:
            continue


def printable(text: str) -> str:
    """What D-Bus can carry: no NUL, no lone surrogates (names from the kernel may hold bytes that are no UTF-8)."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


@dataclass(slots=True)
class Received:
    """A message off the wire, its body not looked into. Whoever holds it owns `fds`."""

    kind: int
    flags: int
    serial: int
    endian: str
    path: str = ""
    interface: str = ""
    member: str = ""
    error_name: str = ""
    reply_serial: int = 0
    destination: str = ""
    sender: str = ""
    signature: str = ""
    unix_fds: int = 0
    body: bytes = b""
    fds: list[int] = field(default_factory=list)

    @property
    def wants_reply(self) -> bool:
        return self.kind == CALL and not self.flags & NO_REPLY

    def close(self) -> None:
        fds, self.fds = self.fds, []
        close_all(fds)


def _text(raw: bytes, offset: int, endian: str) -> tuple[str, int]:
    offset += -offset & 3
    (length,) = struct.unpack_from(endian + "I", raw, offset)
    return raw[offset + 4 : offset + 4 + length].decode(), offset + 5 + length


def _value(raw: bytes, offset: int, endian: str) -> tuple[str | int | None, int]:
    """One variant of a header field; None for a type that no known field has."""
    length = raw[offset]
    code = raw[offset + 1 : offset + 1 + length]
    offset += length + 2
    if code in (b"s", b"o"):
        return _text(raw, offset, endian)
    if code == b"u":
        offset += -offset & 3
        return struct.unpack_from(endian + "I", raw, offset)[0], offset + 4
    if code == b"g":
        return raw[offset + 1 : offset + 1 + raw[offset]].decode(), offset + raw[offset] + 2
    return None, offset


def _fields(raw: bytes, end: int, endian: str) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    offset = _FIXED
    while offset < end:
        offset += -offset & 7
        name = _NAMES.get(raw[offset])
        value, offset = _value(raw, offset + 1, endian)
        if value is None:
            # Somebody's own field with a container in it: only a library knows how long it is.
            pairs = load().unmarshal("a(yv)", raw[_FIXED - 4 : _FIXED] + bytes(4) + raw[_FIXED:end], endian)[0]
            return {_NAMES[code]: variant.value for code, variant in pairs if code in _NAMES}
        if name:
            found[name] = value
    return found


def parse_header(raw: bytes) -> Received:
    """The header in `raw`, which is the fixed part and the field array, padded or not. ValueError if it makes no sense."""
    try:
        endian = _ENDIAN[raw[0]]
        kind, flags, version, _, serial, length = struct.unpack_from(endian + "BBBIII", raw, 1)
        fields = _fields(raw, _FIXED + length, endian)
        message = Received(kind, flags, serial, endian, **fields)  # type: ignore[arg-type]
    except (LookupError, struct.error, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot parse a header: {error}") from error
    if version != 1 or not _whole(message):
        raise ValueError(
            "cannot parse a header: another version of the protocol, or a field missing or of the wrong type"
        )
    return message


def _whole(message: Received) -> bool:
    texts = (message.path, message.interface, message.member, message.sender, message.signature, message.error_name)
    numbers = (message.reply_serial, message.unix_fds)
    if not all(type(text) is str for text in texts) or not all(type(number) is int for number in numbers):
        return False
    return bool(message.path and message.member) if message.kind in (CALL, SIGNAL) else True


class Reader:
    """Cuts what a socket gives into messages. `deliver` gets each whole one and owns its fds; `too_big` gets the header of one whose
    body is above MAX_BODY and was skipped, not held. What does not parse is dropped: the bus checks, so it is nobody's error to hear."""

    def __init__(
        self,
        sock: socket.socket,
        deliver: Callable[[Received], None],
        too_big: Callable[[Received], None],
    ) -> None:
        self._sock = sock
        self._deliver = deliver
        self._too_big = too_big
        self._fds: list[int] = []
        self._messages = self._cut()
        self._want = next(self._messages)
        self.stopped = False

    def run(self) -> None:
        """What one wake-up may do. EOFError if the other side has gone, OSError as recvmsg gives it."""
        deadline = time.monotonic() + SLICE
        for _ in range(STEPS):
            if self.stopped or not self._step() or time.monotonic() > deadline:
                return

    def close(self) -> None:
        self._drop_fds()

    def _step(self) -> bool:
        try:
            data, ancillary, _, _ = self._sock.recvmsg(min(self._want, 65536), _CMSG, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return False
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._fds += array.array("i", raw[: len(raw) & ~3])
        if not data:
            raise EOFError
        self._want = self._messages.send(data)
        return True

    def _cut(self) -> Generator[int, bytes, None]:
        """Yields how many bytes it wants at the most, is sent what came."""
        while True:
            start = yield from _exactly(_FIXED)
            endian = _ENDIAN.get(start[0], "<")
            body, length = (
                struct.unpack_from(endian + "I", start, 4)[0],
                struct.unpack_from(endian + "I", start, 12)[0],
            )
            length += -length & 7
            if length > MAX_HEADER:
                yield from _skip(length + body)
                self._drop_fds()
                continue
            if body > MAX_BODY:
                head = start + (yield from _exactly(length))
                yield from _skip(body)
                self._finish(head, b"", self._too_big)
            else:
                rest = yield from _exactly(length + body)
                self._finish(start + rest[:length], rest[length:], self._deliver)

    def _finish(self, head: bytes, body: bytes, deliver: Callable[[Received], None]) -> None:
        try:
            message = parse_header(head)
        except ValueError:
            self._drop_fds()
            return
        message.body = body
        message.fds, self._fds = self._fds, []
        deliver(message)

    def _drop_fds(self) -> None:
        fds, self._fds = self._fds, []
        close_all(fds)


def _exactly(size: int) -> Generator[int, bytes, bytes]:
    data = bytearray()
    while len(data) < size:
        data += yield size - len(data)
    return bytes(data)


def _skip(size: int) -> Generator[int, bytes, None]:
    while size:
        size -= len((yield size))
