"""The lane from the client's side: buffers without a bus in between. dbus/lane.md tells the protocol.

Facts:
- An unread reply that goes down with a lane gives its buffers back, so that what was asked may be asked again another way.
- A reply to a request that timed out may still come: whatever has another serial is closed.
"""

from __future__ import annotations

import array
import socket
import struct

from memd import lanewire
from memd.client.dmabuf import DmaBuf
from memd.client.framing import CUT, SLOW, TimedOut, close_all
from memd.errors import Failed

AFTER = 3  # allocations over the bus before a lane is opened: who needs few needs none
MOST_ON_BUS = 16  # buffers in one call
PATIENCE = 100  # and more of them before another try where memd gave none
SPACE = socket.CMSG_SPACE(lanewire.BATCH * 4)


class Ended(Exception):
    """The lane is gone, and nothing of what was asked has come."""


class Wish:
    """When to go by a lane: after the first allocations, and again when one has ended. `wanted`: False: never."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted, self._done, self._from = wanted, 0, AFTER

    def due(self, buffers: int) -> bool:
        """Whether this allocation, of so many buffers, is one for a lane."""
        return self._wanted and (self._done >= self._from or buffers > MOST_ON_BUS)

    def borrowed(self) -> None:
        """Over the bus."""
        self._done += 1

    def denied(self) -> None:
        """memd gave none."""
        self._from = self._done + PATIENCE


class Answer:
    """A packet from a lane. Owns its fds until `buffers`."""

    def __init__(self, data: bytes, fds: list[int], *, cut: bool) -> None:
        """Ended, with the fds closed, if it is no reply."""
        self._fds, self._cut = fds, cut
        try:
            self.serial, self._heap, self._buffers, self._error = lanewire.parse_reply(data)
        except lanewire.Broken as error:
            self.close()
            raise Ended from error

    def close(self) -> None:
        fds, self._fds = self._fds, []
        close_all(fds)

    def buffers(self) -> list[DmaBuf]:
        """The receiver owns them. MemdError as memd says it; Failed if fds were lost on the way."""
        if self._error or self._cut or len(self._fds) != len(self._buffers):
            self.close()
            raise self._error or Failed(CUT)
        fds, self._fds = self._fds, []
        return [DmaBuf(fd, number, self._heap, size) for fd, (number, size) in zip(fds, self._buffers, strict=True)]


def receive(sock: socket.socket) -> Answer:
    """Ended if nothing comes any more, BlockingIOError if there is nothing yet."""
    try:
        data, ancillary, flags, _ = sock.recvmsg(lanewire.MAX_REPLY, SPACE, socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        raise
    except OSError as error:
        raise Ended from error
    fds = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) // 4 * 4])
    if not data:
        raise Ended
    return Answer(data, list(fds), cut=bool(flags & socket.MSG_CTRUNC))


class Lane:
    """A blocking lane. Owns the fd. `timeout`: seconds for one answer."""

    def __init__(self, fd: int, timeout: float) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.settimeout(None)
        whole = int(timeout)
        limit = struct.pack("@ll", whole, int((timeout - whole) * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)  # without a poll for each answer
        self._serial = 0

    def close(self) -> None:
        self._socket.close()

    def allocate(self, heap: str, sizes: tuple[int, ...], name: str) -> list[DmaBuf]:
        """The caller owns them. NoRoom, Ended, and as Memd.allocate."""
        serial = self._serial = (self._serial + 1) & 0xFFFFFFFF
        try:
            self._socket.send(lanewire.request(serial, heap, sizes, name), socket.MSG_NOSIGNAL)
            while (answer := receive(self._socket)).serial != serial:
                answer.close()
        except BlockingIOError:
            raise TimedOut(SLOW) from None
        except OSError as error:
            raise Ended from error
        return answer.buffers()
