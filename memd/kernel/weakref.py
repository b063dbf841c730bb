"""Which lent buffers are alive, without keeping one alive. Sources: fs/eventpoll.c (fdinfo since 3.8), fs/notify/inotify.

Facts that bite: an epoll set and an inotify watch hold no reference to what they watch. When the last reference anywhere is gone (fd,
fd in flight, mapping, device), the kernel drops the entry, and fdinfo lists what is left; this is seen on 6.1, 6.18 and 7.2.
- dma-bufs can be put into epoll, and give no inotify event. memfds are EPERM in epoll, and their watch ends with their inode.
- fd numbers are reused and inode numbers of a pseudo file system may be: an entry is known by memd's own number in its `data`.
- An entry can be taken out by nobody once memd's fd is closed; it goes when the buffer does.
- A set lives as long as anybody keeps its fd, with all entries: so it outlives memd in systemd's fd store (fdstore.py).
- struct epoll_event is packed on x86_64 only. Python's own epoll writes the fd into `data`, hence ctypes.
- Files are not memory: an O_PATH fd keeps a dma-buf's memory, and not its epoll entry. It does keep a memfd's watch.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
from collections.abc import Callable
from typing import Protocol

from memd.early import Noun
from memd.errors import BadKernelFile
from memd.kernel.inotify import DELETE_SELF, Inotify

EPOLL_CTL_ADD = 1
ENTRY = rb"(?m)^tfd: *\d+ events: *[0-9a-f]+ data: *([0-9a-f]+) +pos:\d+ ino:([0-9a-f]+) sdev:[0-9a-f]+ *$"
_libc = ctypes.CDLL(None, use_errno=True)


class EpollEvent(ctypes.Structure):
    _pack_ = 1 if os.uname().machine == "x86_64" else 8
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


class Entry(Noun):
    """One entry of an epoll set: memd's own number, and the inode's as fdinfo has it."""

    id: int
    inode: int


class WeakSet(Protocol):
    """Buffers by memd's own number. `alive` asks the kernel and may be called in a thread while others `add`."""

    def add(self, fd: int, number: int) -> None: ...

    def alive(self) -> set[int]: ...

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class EpollSet:
    """Weak references to dma-bufs, in a new set or in one taken over. Owns the epoll fd."""

    def __init__(self, fd: int | None = None) -> None:
        self._epoll = select.epoll() if fd is None else select.epoll.fromfd(fd)

    def add(self, fd: int, number: int) -> None:
        """OSError EPERM if the fd is a memfd, ENOSPC at the limit of watches (fs.epoll.max_user_watches)."""
        event = EpollEvent(0, number)
        if _libc.epoll_ctl(self._epoll.fileno(), EPOLL_CTL_ADD, fd, ctypes.byref(event)) < 0:
            raise OSError(ctypes.get_errno(), f"epoll_ctl: {os.strerror(ctypes.get_errno())}")

    def entries(self) -> tuple[Entry, ...]:
        """What is alive now, with inodes."""
        return tuple(Entry(int(number, 16), int(inode, 16)) for number, inode in self._read())

    def alive(self) -> set[int]:
        return {int(number, 16) for number, _ in self._read()}

    def fileno(self) -> int:
        return self._epoll.fileno()

    def _read(self) -> list[tuple[bytes, bytes]]:
        path = f"/proc/self/fdinfo/{self._epoll.fileno()}"
        with open(path, "rb") as file:
            return parse(file.read(), path)

    def close(self) -> None:
        self._epoll.close()


class InotifySet:
    """Weak references to memfds, for the simulated heap. Owns the inotify fd.

    A set taken over knows nobody's numbers: `find` tells them by (st_ino, st_dev).
    """

    def __init__(self, fd: int | None = None, find: Callable[[int, int], int | None] | None = None) -> None:
        self._inotify = Inotify(fd)
        self._numbers: dict[int, int] = {}
        self.strangers = 0  # watches that `find` does not know
        for wd, file in self._inotify.watches().items() if find else ():
            number = find(*file) if find else None
            if number is None:
                self.strangers += 1
            else:
                self._numbers[wd] = number

    def add(self, fd: int, number: int) -> None:
        """OSError ENOSPC at the limit of watches (fs.inotify.max_user_watches)."""
        self._numbers[self._inotify.watch(b"/proc/self/fd/%d" % fd, DELETE_SELF)] = number

    def alive(self) -> set[int]:
        """Asks for the list of watches: the queue of events can overflow, and is only emptied."""
        before = dict(self._numbers)
        self._inotify.events()
        watches = self._inotify.watches()
        for wd in before.keys() - watches.keys():
            del self._numbers[wd]
        return {number for wd, number in before.items() if wd in watches}

    def fileno(self) -> int:
        return self._inotify.fileno()

    def close(self) -> None:
        self._inotify.close()


def parse(text: bytes, path: str = "fdinfo") -> list[tuple[bytes, bytes]]:
    """`data` and `ino` of each entry in an epoll fd's fdinfo, in hexadecimal. One search over all: 10,000 entries are read here.

    BadKernelFile if a `tfd:` line is not as fs/eventpoll.c writes it.
    """
    found: list[tuple[bytes, bytes]] = re.findall(ENTRY, text)
    if len(found) != text.count(b"tfd:"):
        raise BadKernelFile(path, text.decode("utf-8", "replace"))
    return found
