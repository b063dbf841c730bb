"""What outlives memd: the books and the weak sets, in systemd's fd store; and what is found there when memd starts again.

A buffer is taken back when the books and a set agree on it: its number stands in the set, with the inode that the books have. What only
the books have is gone. What only a set has is alive and nobody knows whose: it is told, and not charged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from memd.errors import BadKernelFile, Busy
from memd.kernel.fdstore import FdStore, Stored
from memd.kernel.weakref import EpollSet, InotifySet, WeakSet
from memd.model import Buffer, Event
from memd.names import MESSAGE_BOOKS
from memd.service.books import BadBooks, Books
from memd.units import format_size

SHARED = ""  # the set that simulated buffers of all owners share: a user has few inotify instances
BOOKS, EPOLL, INOTIFY = "books", "epoll.", "inotify."  # names in the store; numbers follow the last two


@dataclass(slots=True)
class Kept:
    """A weak set that an earlier memd filled, with what is alive in it. Whoever takes it owns `weak`."""

    weak: WeakSet
    buffers: list[Buffer] = field(default_factory=list)


class Keeper:
    """`sets`: what was taken back, by owner. `highest`: the highest number that was ever given. OSError: no memory for books."""

    def __init__(self, store: FdStore, stored: Sequence[Stored], tell: Callable[[Event], None]) -> None:
        self._store, self._names = store, dict[str, str]()
        self._number = max((_number(one.name) for one in stored), default=0)
        self._leaving: list[str] = []
        self._troubles: list[str] = []
        self._unknown = 0
        self.sets: dict[str, Kept] = {}
        self._books = self._take_books([one for one in stored if one.name == BOOKS])
        self.highest = self._books.highest
        try:
            self._take_sets([one for one in stored if one.name != BOOKS])
        except BaseException:
            self.close()
            raise
        alive = [buffer for kept in self.sets.values() for buffer in kept.buffers]
        self._books.keep_only({buffer.id for buffer in alive})
        if stored:
            tell(self._event(alive))

    def write(self, buffer: Buffer) -> None:
        """Before the buffer can be reached by anybody. LimitsExceeded, OSError: it is not in the books."""
        self._books.write(buffer)

    def forget(self, ids: Iterable[int]) -> None:
        self._books.free(ids)

    def keep(self, owner: str, weak: WeakSet) -> None:
        """A new set, from its first moment. Busy if systemd does not take it; then the set is closed."""
        self._number += 1
        name = f"{INOTIFY if owner == SHARED else EPOLL}{self._number}"
        try:
            self._tidy()  # or sets that left would take the places of those that come
            self._store.keep(name, weak.fileno())
        except OSError as error:
            weak.close()
            raise Busy(f"systemd does not take what memd must remember of a new owner ({error}); ask again") from error
        self._names[owner] = name

    def drop(self, owner: str) -> None:
        """The set of an owner who has nothing any more; its name is never used again, so a copy left in the store is only empty."""
        self._drop(self._names.pop(owner))

    def close(self) -> None:
        """The store keeps its copies."""
        self._books.close()

    def _drop(self, name: str) -> None:
        self._leaving.append(name)
        with contextlib.suppress(OSError):
            self._tidy()

    def _tidy(self) -> None:
        while self._leaving:
            self._store.drop(self._leaving[0])
            del self._leaving[0]

    def _take_books(self, stored: Sequence[Stored]) -> Books:
        for one in stored:
            try:
                books = Books(one.fd)
            except (BadBooks, OSError) as error:
                self._troubles.append(f"the books that systemd kept are refused: {error}")
                os.close(one.fd)
            else:
                for rest in stored[stored.index(one) + 1 :]:
                    os.close(rest.fd)
                return books
        if stored:
            self._drop(BOOKS)
        books = Books()
        try:
            self._store.keep(BOOKS, books.fd)
        except OSError:
            books.close()
            raise
        return books

    def _take_sets(self, stored: Sequence[Stored]) -> None:
        known = self._books.buffers
        files = {(one.inode, one.device): one.id for one in known.values()}  # of two with one inode the later is alive
        for one in stored:
            try:
                weak = _open(one, files)
            except (OSError, ValueError) as error:
                self._refuse(one.name, error)
                os.close(one.fd)
                continue
            try:
                ids = self._agreed(weak, known)
            except (OSError, BadKernelFile) as error:
                self._refuse(one.name, error)
                weak.close()
            else:
                self._adopt(one.name, Kept(weak, [known[number] for number in sorted(ids)]))

    def _refuse(self, name: str, error: Exception) -> None:
        self._troubles.append(f"{name} is refused: {error}")
        self._drop(name)

    def _agreed(self, weak: EpollSet | InotifySet, known: Mapping[int, Buffer]) -> set[int]:
        """What is alive in it by the books too."""
        if isinstance(weak, InotifySet):
            self._unknown += weak.strangers
            return weak.alive()
        found = weak.entries()
        self.highest = max([self.highest, *(entry.id for entry in found)])
        ids = {entry.id for entry in found if entry.id in known and known[entry.id].inode == entry.inode}
        self._unknown += len(found) - len(ids)
        return ids

    def _adopt(self, name: str, kept: Kept) -> None:
        """A set belongs to whom its buffers are charged to; one that has none has nothing to tell any more."""
        owners = {buffer.owner for buffer in kept.buffers}
        owner = SHARED if name.startswith(INOTIFY) else next(iter(owners), None)
        if owner is None or not owners or owner in self.sets or (owner != SHARED and len(owners) > 1):
            self._unknown += len(kept.buffers)
            kept.weak.close()
            self._drop(name)
            return
        self.sets[owner], self._names[owner] = kept, name

    def _event(self, alive: Sequence[Buffer]) -> Event:
        size, owners = sum(buffer.size for buffer in alive), {buffer.owner for buffer in alive}
        lent = f"{_count(len(alive), 'buffer')} ({format_size(size)}) of {_count(len(owners), 'owner')}"
        parts = [f"the books are whole again: {lent} still out from before this start"]
        if self._unknown:
            parts.append(f"{_count(self._unknown, 'more buffer')} alive that no books have, charged to nobody")
        fields: dict[str, str | int | float] = {
            "MEMD_BUFFERS": len(alive),
            "MEMD_SIZE": size,
            "MEMD_OWNERS": len(owners),
            "MEMD_UNKNOWN": self._unknown,
        }
        wrong = bool(self._unknown or self._troubles)
        return Event("; ".join(parts + self._troubles), MESSAGE_BOOKS, 4 if wrong else 6, fields)


def _open(one: Stored, files: Mapping[tuple[int, int], int]) -> EpollSet | InotifySet:
    """It owns the fd. OSError, ValueError: it is not what its name says, and the fd stays the caller's."""
    kind = os.readlink(f"/proc/self/fd/{one.fd}")
    if one.name.startswith(INOTIFY) and kind == "anon_inode:inotify":
        return InotifySet(one.fd, lambda inode, device: files.get((inode, device)))
    if one.name.startswith(EPOLL) and kind == "anon_inode:[eventpoll]":
        return EpollSet(one.fd)
    raise ValueError(f"it is {kind}, and none of memd's")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _number(name: str) -> int:
    """The one behind the last dot."""
    tail = name.rpartition(".")[2]
    return int(tail) if tail.isascii() and tail.isdigit() else 0
