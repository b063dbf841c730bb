"""A small blocking client that does what it should not: sends fds, sends nonsense, does not read. Independent of memd's own framing."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from memd.bus.library import Library, load

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
NO_REPLY = 1


@dataclass
class Reply:
    """What came back; `fds` are the reader's to close."""

    kind: int
    serial: int
    error_name: str = ""
    body: list[Any] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    member: str = ""
    sender: str = ""

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


def authenticate(sock: socket.socket) -> None:
    for line in (b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode(), b"NEGOTIATE_UNIX_FD"):
        sock.sendall(line + b"\r\n")
        answer = sock.recv(4096)
        assert answer.startswith((b"OK", b"AGREE")), answer
    sock.sendall(b"BEGIN\r\n")


def bare(serial: int, fields: Sequence[tuple[int, str, str]], signature: str, body: bytes, flags: int = 0) -> bytes:
    """A method call of exactly these header fields and bytes, which no library would make."""
    header = b""
    for code, kind, value in [*fields, *([(8, "g", signature)] if signature else [])]:
        text = value.encode()
        length = struct.pack("<B" if kind == "g" else "<I", len(text))
        header += bytes(-len(header) & 7) + struct.pack("<BB", code, 1) + kind.encode() + b"\0" + length + text + b"\0"
    start = struct.pack("<cBBBIII", b"l", 1, flags, 1, len(body), serial, len(header))
    return start + header + bytes(-len(header) & 7) + body


def to_memd(member: str, interface: str = "org.memd1.Manager", path: str = "/org/memd1") -> list[tuple[int, str, str]]:
    return [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", "org.memd1")]


class Raw:
    """One connection; `connect` says Hello, a bare `Raw(sock)` speaks to a peer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(60)  # when to give up, on however busy a machine
        self.library: Library = load("dbus_fast")
        self.name = ""
        self._serial = 0
        self._buffer = b""
        self._fds: list[int] = []

    @classmethod
    def connect(cls, address: str) -> Raw:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(address.split("path=")[1].split(",", maxsplit=1)[0])
            authenticate(sock)
            self = cls(sock)
            self.name = self.call_bus("Hello").body[0]
        except BaseException:
            sock.close()
            raise
        return self

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self.sock.close()

    def message(self, *, kind: int = 1, flags: int = 0, **fields: Any) -> tuple[int, bytes]:
        """A marshalled message and its serial; None fields are left out."""
        self._serial += 1
        fields = {key: value for key, value in fields.items() if value is not None}
        return self._serial, self.library.marshal(kind, self._serial, flags=flags, **fields)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            data = data[self.sock.sendmsg([data], rights) :]
        self.sock.sendall(data)

    def start_bare(self, fields: Sequence[tuple[int, str, str]], signature: str, body: bytes, flags: int = 0) -> int:
        """Send a call of these bytes without waiting; its serial."""
        self._serial += 1
        self.send(bare(self._serial, fields, signature, body, flags))
        return self._serial

    def start(
        self, destination: str | None, path: str, interface: str | None, member: str, signature: str = "",
        body: Sequence[Any] = (), *, flags: int = 0, fds: Sequence[int] = (),
    ) -> int:  # fmt: skip
        """Send a call without waiting; its serial."""
        serial, data = self.message(
            flags=flags, destination=destination, path=path, interface=interface, member=member, signature=signature,
            body=list(body), unix_fds=list(fds),
        )  # fmt: skip
        self.send(data, fds)
        return serial

    def call(self, *args: Any, **kwargs: Any) -> Reply:
        """Call and wait for the reply to it; whatever else arrives before is thrown away."""
        return self.wait(self.start(*args, **kwargs))

    def call_bus(self, member: str, signature: str = "", body: Sequence[Any] = ()) -> Reply:
        return self.call(BUS, BUS_PATH, BUS, member, signature, body)

    def wait(self, serial: int) -> Reply:
        while True:
            reply = self.read()
            if reply.serial == serial and reply.kind in (2, 3):
                return reply
            reply.close()

    def replies(self, count: int) -> Iterator[Reply]:
        """The next `count` replies, in whatever order."""
        while count:
            reply = self.read()
            if reply.kind in (2, 3):
                count -= 1
                yield reply
            else:
                reply.close()

    def read(self) -> Reply:
        start = self._take(16)
        body, length = struct.unpack_from("<I", start, 4)[0], struct.unpack_from("<I", start, 12)[0]
        fields = self._take(length + (-length & 7))
        pairs = self.library.unmarshal("a(yv)", start[12:16] + bytes(4) + fields[:length], "<")[0]
        header = {code: variant.value for code, variant in pairs}
        content = self._take(body)
        fds, self._fds = self._fds[: header.get(9, 0)], self._fds[header.get(9, 0) :]
        return Reply(
            start[1],
            header.get(5, 0),
            header.get(4, ""),
            self.library.unmarshal(header.get(8, ""), content, "<"),
            fds,
            header.get(3, ""),
            header.get(7, ""),
        )

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(253 * 4), socket.MSG_CMSG_CLOEXEC)
            for _, _, raw in ancillary:
                self._fds += array.array("i", raw)
            if not data:
                raise EOFError("the bus closed the connection")
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


@contextlib.contextmanager
def memfds(count: int) -> Iterator[list[int]]:
    fds = [os.memfd_create("uninvited") for _ in range(count)]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def until(what: Any, seconds: float = 10.0) -> bool:
    """Wait for something to become true; whether it did. Not a timing test: the time is only when to give up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.01)
    return bool(what())
