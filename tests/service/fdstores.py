"""systemd's fd store in small: the socket that $NOTIFY_SOCKET names, and what was sent to it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from memd.kernel.fdstore import Stored

MAX_MESSAGE = 4096


class FakeSystemd:
    """Reads what is queued when it is asked, as systemd does before it reaps. Owns what it keeps."""

    def __init__(self, directory: Path) -> None:
        self.address = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self.address)
        self._kept: list[Stored] = []
        self.messages: list[dict[str, str]] = []

    def close(self) -> None:
        for one in self.kept():
            os.close(one.fd)
        self._kept.clear()
        self._socket.close()

    def kept(self) -> list[Stored]:
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, MAX_MESSAGE, 4)
            except BlockingIOError:
                return self._kept
            self._take(dict(line.split("=", 1) for line in data.decode().splitlines()), fds)

    def names(self) -> list[str]:
        return [one.name for one in self.kept()]

    def passes(self) -> tuple[Stored, ...]:
        """Copies for the next start; their receiver's to close."""
        return tuple(Stored(name=one.name, fd=os.dup(one.fd)) for one in self.kept())

    def _take(self, message: dict[str, str], fds: list[int]) -> None:
        self.messages.append(message)
        if "FDSTORE" in message:
            assert message["FDPOLL"] == "0"
            self._kept += [Stored(name=message["FDNAME"], fd=fd) for fd in fds]
        if "FDSTOREREMOVE" in message:
            for one in [one for one in self._kept if one.name == message["FDNAME"]]:
                os.close(one.fd)
                self._kept.remove(one)
