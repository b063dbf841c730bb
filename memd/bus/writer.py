"""Messages on their way out, and the fds in them.

Facts that bite: sendmsg hands fds over with the first byte, and a later part of the same message must not carry them again; the kernel
refuses fds that are closed (EBADF) or too many in flight for one user (ETOOMANYREFS), which concerns that message only.
"""

from __future__ import annotations

import array
import errno
import socket
from collections import deque
from collections.abc import Callable, Iterable

from memd.bus.wire import close_all

MAX_FDS = 16  # dbus-daemon disconnects who sends 17
_BAD_FDS = (errno.EBADF, errno.ETOOMANYREFS, errno.EINVAL)


class _Outgoing:
    __slots__ = ("data", "fds", "instead")

    def __init__(self, data: memoryview, fds: list[int], instead: Callable[[OSError], bytes] | None) -> None:
        self.data, self.fds, self.instead = data, fds, instead


class Writer:
    """What waits to be written. It owns the fds it is given and closes our copies exactly once: when the message has left, when it
    cannot leave, or when the connection ends."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._queue: deque[_Outgoing] = deque()
        self._offset = 0
        self.fds = 0

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, data: bytes, fds: Iterable[int] = (), instead: Callable[[OSError], bytes] | None = None) -> None:
        """Queue a message. `instead` makes the one to send where the kernel refuses to take these fds."""
        message = _Outgoing(memoryview(data), list(fds), instead)
        self._queue.append(message)
        self.fds += len(message.fds)

    def flush(self) -> bool:
        """Write until all is written (True) or the socket is full. OSError if the connection is gone."""
        while self._queue:
            message = self._queue[0]
            try:
                self._offset += self._send(message)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if self._offset or error.errno not in _BAD_FDS or not message.fds:
                    raise
                self._refused(message, error)
                continue
            self._let_go(message)
            if self._offset == len(message.data):
                self._queue.popleft()
                self._offset = 0
        return True

    def close(self) -> None:
        while self._queue:
            self._let_go(self._queue.popleft())

    def _send(self, message: _Outgoing) -> int:
        data = message.data[self._offset :]
        if not message.fds:
            return self._sock.send(data)
        rights = array.array("i", message.fds)
        return self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def _refused(self, message: _Outgoing, error: OSError) -> None:
        self._let_go(self._queue.popleft())
        if message.instead:
            self._queue.appendleft(_Outgoing(memoryview(message.instead(error)), [], None))

    def _let_go(self, message: _Outgoing) -> None:
        fds, message.fds = message.fds, []
        self.fds -= len(fds)
        close_all(fds)
