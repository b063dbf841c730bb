"""The blocking client: one call, one method. Source: dbus/org.memd1.Manager.xml.

Every method raises the class of memd.errors that the reply names (NotAllowed, QuotaExceeded, NoSuchHeap, ...), or Unreachable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from memd import names
from memd.client.buffer import Buffer
from memd.client.connection import DRIVER, DRIVER_PATH, Connection
from memd.client.errors import Unreachable
from memd.errors import Failed, InvalidArgs

if TYPE_CHECKING:
    from memd.client.types import BufferFacts, HeapFacts, PressureFacts, Status

PAGE = 1000  # rows of one ListBuffers, the most that memd gives


class Memd:
    """A connection to memd. `address`: `system` (default), `session`, or an address; `timeout`: seconds for one answer.

    Not for several threads at once: make one each. Raises Unreachable where there is no bus.
    """

    def __init__(self, address: str | None = None, timeout: float = 25.0) -> None:
        self._connection = Connection(address, timeout)

    def __enter__(self) -> Memd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Buffers stay open: they are no part of the connection."""
        self._connection.close()

    def status(self) -> Status:
        """Everything in one round trip."""
        answer: Status = self._ask("GetStatus")[0]
        return answer

    def heaps(self) -> list[HeapFacts]:
        return self.status()["heaps"]

    def allocate(self, heap: str, size: int, name: str = "") -> Buffer:
        """A fresh, zeroed buffer of at least `size` bytes. `heap`: a heap's name, `system`, `contiguous` or `any`; `name`: a label
        for listings, printable ASCII. The caller owns the Buffer."""
        body, fds = self._call("Allocate", "sta{sv}", _text(heap), size, _options(name=name or None))
        (fd,) = _take([body[0]], fds)
        info = body[2]
        return Buffer(fd, body[1], str(info.get("heap", heap)), info.get("size") or _pages(size))

    def allocate_many(self, heap: str, sizes: Sequence[int], name: str = "") -> list[Buffer]:
        """All or nothing, at most 16. The caller owns each Buffer."""
        body, fds = self._call("AllocateMany", "sata{sv}", _text(heap), list(sizes), _options(name=name or None))
        taken = _take(body[0], fds)
        served = str(body[2].get("heap", heap))
        return [
            Buffer(fd, number, served, _pages(size)) for fd, number, size in zip(taken, body[1], sizes, strict=True)
        ]

    def can_allocate(
        self, heap: str, size: int, *, uid: int | None = None, pid: int | None = None
    ) -> tuple[bool, dict[str, Any]]:
        """(allowed, why): the decision without the buffer. Root may ask for another `uid` or `pid`."""
        allowed, info = self._ask("CanAllocate", "sta{sv}", _text(heap), size, _options(uid=uid, pid=pid))
        return bool(allowed), info

    def buffers(
        self, *, heap: str | None = None, owner: str | None = None, older: float | None = None
    ) -> Iterator[BufferFacts]:
        """Lent buffers by id, page for page; root sees all, others their own. `older`: lent longer ago than so many seconds."""
        after: int | None = 0
        age = None if older is None else int(older * 1e6)
        while after is not None:
            options = _options(after=after, limit=PAGE, heap=heap, owner=owner, older=age)
            rows, info = self._ask("ListBuffers", "a{sv}", options)
            for row in rows:
                row["time"] /= 1e6
                yield row
            after = info.get("next")

    def reload(self) -> dict[str, Any]:
        """Administrators: read the configuration anew; fails whole on a wrong value."""
        info: dict[str, Any] = self._ask("Reload")[0]
        return info

    def pressure(self) -> Iterator[tuple[str, PressureFacts]]:
        """(level, facts) now, and then at each change, relief included. Unreachable when memd goes."""
        for member, sender in (("PressureChanged", names.BUS_NAME), ("NameOwnerChanged", DRIVER)):
            about = f",arg0='{names.BUS_NAME}'" if sender == DRIVER else ""
            self._connection.match(f"type='signal',sender='{sender}',member='{member}'{about}")
        owner = self._owner()
        now = self.status()["pressure"]
        yield now["level"], now
        while True:
            signal = self._connection.signal()
            if signal.sender == DRIVER and signal.member == "NameOwnerChanged" and signal.body[1] == owner:
                raise Unreachable("memd has ended; see `systemctl status memd`")
            # Anybody may send us a signal of this name: only the owner's counts.
            if signal.sender == owner and signal.member == "PressureChanged" and signal.signature == "sa{sv}":
                yield signal.body[0], plain(signal.body[1])

    def _owner(self) -> str:
        body, _ = self._connection.call(DRIVER, DRIVER_PATH, DRIVER, "GetNameOwner", "s", (names.BUS_NAME,))
        return str(body[0])

    def _ask(self, member: str, signature: str = "a{sv}", *arguments: object) -> list[Any]:
        """The reply of a method that gives no fds."""
        body, fds = self._call(member, signature, *(arguments or ({},)))
        _take([], fds)
        return body

    def _call(self, member: str, signature: str, *arguments: object) -> tuple[list[Any], list[int]]:
        body, fds = self._connection.call(names.BUS_NAME, names.ROOT_PATH, names.MANAGER, member, signature, arguments)
        return plain(body), fds


def plain(value: Any) -> Any:
    """Without Variants, all the way down."""
    from dbus_next.signature import Variant

    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _options(**values: str | int | None) -> dict[str, Any]:
    """a{sv} of what is not None: str is s, uid and pid are u, other int t."""
    from dbus_next.signature import Variant

    kinds = {"uid": "u", "pid": "u"}
    given = {key: value for key, value in values.items() if value is not None}
    return {
        key: Variant("s", _text(value)) if isinstance(value, str) else Variant(kinds.get(key, "t"), value)
        for key, value in given.items()
    }


def _text(value: str) -> str:
    """A zero byte ends a D-Bus string early, and the bus would end the connection."""
    if "\0" in value:
        raise InvalidArgs(f"{value!r} has a zero byte; write printable characters")
    return value


def _pages(size: int) -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    return -(-size // page) * page


def _take(indices: list[int], fds: list[int]) -> list[int]:
    """The fds that a body's `h` values point at; all others are closed, and all of them if one is not there."""
    good = len(set(indices)) == len(indices) and all(index < len(fds) for index in indices)
    taken = [fds[index] for index in indices] if good else []
    for fd in fds:
        if fd not in taken:
            os.close(fd)
    if not good:
        raise Failed(
            "memd's reply came without its buffers; is something between us and the bus that drops file descriptors?"
        )
    return taken
