"""Sockets on which memd says one byte and hears nothing: few for each owner, ended when they are abused, and gone with their reader.

Facts that bite: fds that come with a message are dropped by the kernel where it is received without a buffer for them; a peer that
closed its end makes the socket readable and empty.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from memd.errors import LimitsExceeded
from memd.model import Level

PATIENCE = 4096  # bytes that a peer may say before it is ended; systemd's protocol lets it say something first
CHUNK = 512


class Ear:
    """One socket. `owner`: who is charged; `level`: from which on it wants to hear."""

    __slots__ = ("heard", "level", "owner", "sock")

    def __init__(self, sock: socket.socket, owner: str, level: Level) -> None:
        self.sock, self.owner, self.level, self.heard = sock, owner, level, 0


class Ears:
    """Owns the sockets that are added. `most`: of all owners; `each`: of one; `what`: their name in a refusal."""

    def __init__(self, most: int, each: int, what: str) -> None:
        self._most, self._each, self._what = most, each, what
        self._ears: set[Ear] = set()

    def __len__(self) -> int:
        return len(self._ears)

    def room(self, owner: str) -> None:
        """LimitsExceeded if one more of this owner's would be too many."""
        his = sum(ear.owner == owner for ear in self._ears)
        if his >= self._each:
            raise LimitsExceeded(f"{owner} has {his} {self._what} open, and {self._each} is the most; close one first")
        if len(self._ears) >= self._most:
            raise LimitsExceeded(f"{self._most} {self._what} are open, and that is the most of all callers together")

    def add(self, sock: socket.socket, owner: str, level: Level) -> None:
        """Takes `sock` over, whatever happens. LimitsExceeded as `room`."""
        try:
            self.room(owner)
            sock.settimeout(0)
            ear = Ear(sock, owner, level)
            asyncio.get_running_loop().add_reader(sock, self._readable, ear)
        except BaseException:
            sock.close()
            raise
        self._ears.add(ear)

    def tell(self, byte: int, wanted: Callable[[Level], bool], *, end_slow: bool) -> None:
        """One byte to each whose level is `wanted`. Who has left too much unread misses it, or with `end_slow` is ended."""
        for ear in [one for one in self._ears if wanted(one.level)]:
            try:
                ear.sock.send(bytes([byte]), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                if end_slow:
                    self._end(ear)
            except OSError:
                self._end(ear)

    def _readable(self, ear: Ear) -> None:
        try:
            said = ear.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        ear.heard += len(said)
        if not said or ear.heard > PATIENCE:
            self._end(ear)

    def _end(self, ear: Ear) -> None:
        if ear in self._ears:
            self._ears.discard(ear)
            asyncio.get_running_loop().remove_reader(ear.sock)
            ear.sock.close()

    def close(self) -> None:
        """Each peer sees the end."""
        for ear in tuple(self._ears):
            self._end(ear)
