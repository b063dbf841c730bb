"""Sockets that a service's $MEMORY_PRESSURE_WATCH can name, so that it hears memd's judgement. Document: systemd's PRESSURE.md.

The protocol: a program connects to the AF_UNIX stream socket, may write what $MEMORY_PRESSURE_WRITE says, and then takes each readable
byte for "there is memory pressure: give some back". No byte says that it is over. One socket for each level: `low`, `medium`, `critical`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct

from memd.errors import LimitsExceeded
from memd.model import Level
from memd.service.ears import Ears
from memd.service.listener import Listener

MOST = 512
EACH = 64  # of one uid: many services run as root
BACKLOG = 64
BURST = 32  # connections accepted in one turn of the loop
LEVELS = (Level.LOW, Level.MEDIUM, Level.CRITICAL)
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

log = logging.getLogger(__name__)


class PressureSockets(Listener):
    """`directory`: where they stand, memd's own (systemd's RuntimeDirectory=); None: nowhere."""

    def __init__(self, directory: str | None) -> None:
        self._directory = directory
        self._ears = Ears(MOST, EACH, "pressure sockets")
        self._listening: dict[str, socket.socket] = {}

    def __len__(self) -> int:
        return len(self._ears)

    def start(self) -> str:
        """Why there are none; "" where all is well."""
        if self._directory is None or self._listening:
            return ""
        try:
            for level in LEVELS:
                self._listen(level, os.path.join(self._directory, str(level)))
        except OSError as error:
            self.close()
            return f"no sockets for $MEMORY_PRESSURE_WATCH in {self._directory}: {error.strerror}"
        return ""

    def _listen(self, level: Level, path: str) -> None:
        """Everybody may connect: what is said on it, everybody may know."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listening[path] = sock
        sock.bind(path)
        os.chmod(path, 0o666)  # noqa: S103 (it is meant for everybody)
        sock.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock, level)

    def _accept(self, listening: socket.socket, level: Level) -> None:
        for _ in range(BURST):
            try:
                sock, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:  # it went before we came; or too many files are open, and it waits in the backlog
                log.warning("a connection for memory pressure could not be taken: %s", error)
                return
            with contextlib.suppress(LimitsExceeded):
                self._ears.add(sock, f"uid {_uid(sock)}", level)

    def stalled(self, level: Level) -> None:
        """Bytes that nobody has read say the same already."""
        self._ears.tell(0, lambda wanted: wanted <= level, end_slow=False)

    def close(self) -> None:
        for path, sock in self._listening.items():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._listening.clear()
        self._ears.close()


def _uid(sock: socket.socket) -> int:
    _, uid, _ = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return int(uid)


def directory(runtime: str | None) -> str | None:
    """Of the directories in $RUNTIME_DIRECTORY the one for these sockets; None where systemd made none."""
    return next((path for path in (runtime or "").split(":") if os.path.basename(path) == "pressure"), None)
