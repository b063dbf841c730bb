"""A peer that plays bus and memd at once, on a real unix socket, so that a test decides each message that comes back."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_next import Message, Variant
from dbus_next._private.marshaller import Marshaller
from dbus_next._private.unmarshaller import Unmarshaller

MEMD = ":1.7"
Out = tuple[Message | bytes, list[int]]
Handler = Callable[[Message], list[Out]]


def reply(call: Message, signature: str, *body: Any, fds: tuple[int, ...] = (), serial: int = 0) -> Out:
    """The return of `call`; the peer closes its copies of `fds` when they have left."""
    message = Message.new_method_return(call, signature, list(body), list(fds))
    message.sender, message.serial = MEMD, serial or 1000 + call.serial
    return message, list(fds)


def error(call: Message, name: str, text: str) -> Out:
    message = Message.new_error(call, name, text)
    message.serial = 1000 + call.serial
    return message, []


def pressure(level: str, sender: str = MEMD) -> Out:
    body = [level, {"some_avg10": Variant("d", 12.5)}]
    message = Message.new_signal("/org/memd1", "org.memd1.Manager", "PressureChanged", "sa{sv}", body)
    message.sender, message.serial = sender, 5000
    return message, []


def gone(owner: str = MEMD, sender: str = "org.freedesktop.DBus") -> Out:
    body = ["org.memd1", owner, ""]
    message = Message.new_signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", "sss", body)
    message.sender, message.serial = sender, 5001
    return message, []


def marshall(message: Message) -> bytes:
    """As a bus sends it, with its sender; the library leaves that to the bus."""
    body = Marshaller(message.signature, message.body)
    body.marshall()
    values = {
        1: ("o", message.path),
        2: ("s", message.interface),
        3: ("s", message.member),
        4: ("s", message.error_name),
        5: ("u", message.reply_serial),
        6: ("s", message.destination),
        7: ("s", message.sender),
        8: ("g", message.signature),
        9: ("u", len(message.unix_fds or [])),
    }
    fields = [[number, Variant(*value)] for number, value in values.items() if value[1]]
    header = Marshaller(
        "yyyyuua(yv)", [ord("l"), message.message_type.value, 0, 1, len(body.buffer), message.serial, fields]
    )
    header.marshall()
    header.align(8)
    return bytes(header.buffer + body.buffer)


def memfd(text: bytes = b"") -> int:
    fd = os.memfd_create("test")
    os.ftruncate(fd, 4096)
    os.pwrite(fd, text, 0)
    return fd


class Peer:
    """Answers the bus's own calls; everything else goes to `handler`. `calls`: what came."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix:path={path}"
        self.answer = b"DATA\r\nOK 1234\r\nAGREE_UNIX_FD\r\n"
        self.calls: list[Message] = []
        self.handler: Handler = lambda call: [error(call, "org.freedesktop.DBus.Error.UnknownMethod", "no")]
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close_client(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # it may have left by itself, or never have come
            self._socket.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.close_client()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        try:
            self._socket, _ = self._listener.accept()
        except OSError:
            return  # closed before anybody came
        with self._socket:
            greeting = b""
            while b"BEGIN\r\n" not in greeting and (more := self._socket.recv(256)):
                greeting += more
            self._socket.sendall(self.answer)
            while self._answer(self._socket):
                pass
        self._socket = None

    def _answer(self, sock: socket.socket) -> bool:
        try:
            with sock.makefile("rb", buffering=0) as stream:
                call = Unmarshaller(stream).unmarshall()
        except (EOFError, OSError):
            return False
        self.calls.append(call)
        own = self._own(call)
        for message, fds in own if own is not None else self.handler(call):
            data = message if isinstance(message, bytes) else marshall(message)
            with contextlib.suppress(OSError):  # the client has left
                sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
            for fd in fds:
                os.close(fd)
        return True

    def _own(self, call: Message) -> list[Out] | None:
        if call.destination != "org.freedesktop.DBus":
            return None
        body = {"Hello": ("s", ":1.1"), "GetNameOwner": ("s", MEMD)}.get(call.member)
        return [reply(call, *body) if body else reply(call, "")]


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path / "bus")
    yield peer
    peer.close()
