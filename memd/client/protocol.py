"""What is said to memd, and what its answers mean: the same for both clients. Source: dbus/org.memd1.Manager.xml.

A Question is one method call; its `read` makes a value of the answer and owns the fds that came.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from memd import lanewire, lean, names
from memd.client.dmabuf import DmaBuf
from memd.client.errors import Unreachable
from memd.client.framing import DRIVER, DRIVER_PATH, close_all
from memd.errors import Failed, InvalidArgs

if TYPE_CHECKING:
    from dbus_next.message import Message

    from memd.client.types import BufferFacts, JobFacts, PressureFacts, Status

T = TypeVar("T")
PAGE = 1000  # rows of one ListBuffers, the most that memd gives
OWNER = ((DRIVER, DRIVER_PATH, DRIVER, "GetNameOwner"), "s", (names.BUS_NAME,))
# What tells of pressure, and that memd has gone.
MATCHES = (
    f"type='signal',sender='{names.BUS_NAME}',member='PressureChanged'",
    f"type='signal',sender='{DRIVER}',member='NameOwnerChanged',arg0='{names.BUS_NAME}'",
)


# What memd tells everybody: the signal's name, and the names of its arguments.
EVENTS = {
    "PressureChanged": ("level", "facts"),
    "UnitPressureChanged": ("unit", "level", "facts"),
    "CmaAllocationFailed": ("region", "pages", "facts"),
    "CmaStateChanged": ("region", "state", "facts"),
}
EVENT_MATCHES = (
    f"type='signal',sender='{names.BUS_NAME}',interface='{names.MANAGER}'",
    MATCHES[1],
)


class Question(Generic[T]):
    """`target`, `signature`, `arguments` go out; `read(body, fds)` makes a T of the answer, and closes or hands on each fd."""

    __slots__ = ("arguments", "read", "signature", "target")

    def __init__(
        self,
        member: str,
        signature: str,
        arguments: tuple[object, ...],
        read: Callable[[list[Any], list[int]], T],
        at: tuple[str, str] = (names.ROOT_PATH, names.MANAGER),
    ) -> None:
        self.target = (names.BUS_NAME, *at, member)
        self.signature, self.arguments, self.read = signature, arguments, read


def status() -> Question[Status]:
    return _plain("GetStatus", lambda body: body[0])


def allocate(heap: str, size: int, name: str) -> Question[DmaBuf]:
    def read(body: list[Any], fds: list[int]) -> DmaBuf:
        (fd,) = take([body[0]], fds)
        info = plain(body[2])
        return DmaBuf(fd, body[1], str(info.get("heap", heap)), info.get("size") or _pages(size))

    return Question("Allocate", "sta{sv}", (_text(heap), size, _options(name=name or None)), read)


def allocate_many(heap: str, sizes: Sequence[int], name: str) -> Question[list[DmaBuf]]:
    def read(body: list[Any], fds: list[int]) -> list[DmaBuf]:
        if len(body[0]) != len(sizes) or len(body[1]) != len(sizes):
            close_all(fds)
            raise Failed(f"memd's reply has {len(body[0])} buffers where {len(sizes)} were asked for")
        taken = take(body[0], fds)
        served = str(plain(body[2]).get("heap", heap))
        return [
            DmaBuf(fd, number, served, _pages(size)) for fd, number, size in zip(taken, body[1], sizes, strict=True)
        ]

    return Question("AllocateMany", "sata{sv}", (_text(heap), list(sizes), _options(name=name or None)), read)


def open_lane() -> Question[int]:
    """The receiver owns the fd."""

    def read(body: list[Any], fds: list[int]) -> int:
        return take([body[0]], fds)[0]

    return Question("OpenLane", "a{sv}", (_options(version=lanewire.VERSION),), read)


def can_allocate(heap: str, size: int, uid: int | None, pid: int | None) -> Question[tuple[bool, dict[str, Any]]]:
    arguments = (_text(heap), size, _options(uid=uid, pid=pid))
    return _plain("CanAllocate", lambda body: (bool(body[0]), body[1]), "sta{sv}", arguments)


def buffers(
    after: int, heap: str | None, owner: str | None, older: float | None
) -> Question[tuple[list[BufferFacts], int | None]]:
    """A page, and the id to go on after; None: that was all."""

    def read(body: list[Any]) -> tuple[list[BufferFacts], int | None]:
        for row in body[0]:
            row["time"] /= 1e6
        return body[0], body[1].get("next")

    age = None if older is None else int(older * 1e6)
    options = _options(after=after, limit=PAGE, heap=heap, owner=owner, older=age)
    return _plain("ListBuffers", read, "a{sv}", (options,))


def write_off(number: int) -> Question[dict[str, Any]]:
    return _plain("WriteOff", lambda body: dict(body[0]), "ta{sv}", (number, {}))


def set_zram(device: str, settings: Mapping[str, str], *, force: bool) -> Question[str]:
    from dbus_next.signature import Variant

    if not (device.isascii() and device.isalnum()):
        raise InvalidArgs(f"{device!r} is no zram device; write zram0")
    texts = {key: Variant("s", _text(value)) for key, value in settings.items()}
    options = {"force": Variant("b", force)} if force else {}
    at = (f"{names.ROOT_PATH}/zram/{device}", names.ZRAM)
    return _plain("Set", lambda body: str(body[0]), "a{sv}a{sv}", (texts, options), at)


def job(path: str) -> Question[JobFacts]:
    def read(body: list[Any]) -> JobFacts:
        return {
            "state": body[0]["State"],
            "progress": body[0]["Progress"],
            "message": body[0]["Message"],
            "device": body[0]["Device"],
        }

    return _plain("GetAll", read, "s", (names.JOB,), (path, "org.freedesktop.DBus.Properties"))


def cancel_job(path: str) -> Question[None]:
    return _plain("Cancel", lambda _body: None, "", (), (path, names.JOB))


def reload() -> Question[dict[str, Any]]:
    return _plain("Reload", lambda body: dict(body[0]))


def open_pressure_fd(level: str) -> Question[tuple[socket.socket, str]]:
    def read(body: list[Any], fds: list[int]) -> tuple[socket.socket, str]:
        (fd,) = take([body[0]], fds)
        return socket.socket(fileno=fd), str(plain(body[1])["level"])

    return Question("OpenPressureFd", "sa{sv}", (_text(level), {}), read)


def event_of(signal: Message, owner: str) -> tuple[str, dict[str, Any]] | None:
    """(name, arguments, the facts among them) of what memd tells; None for others' signals. Unreachable when memd has gone."""
    if signal.sender == DRIVER and signal.member == "NameOwnerChanged" and signal.body[1] == owner:
        raise Unreachable("memd has ended; see `systemctl status memd`")
    names_of = EVENTS.get(signal.member)
    if signal.sender != owner or names_of is None or len(signal.body) != len(names_of):
        return None
    told = dict(zip(names_of, plain(signal.body), strict=True))
    facts = told.pop("facts")
    return (signal.member, {**facts, **told}) if isinstance(facts, dict) else None


def pressure_of(signal: Message, owner: str) -> tuple[str, PressureFacts] | None:
    """What a signal says of pressure; None for others'. Anybody may send us a signal of this name: only the owner's counts.
    Unreachable when memd has gone."""
    if signal.sender == DRIVER and signal.member == "NameOwnerChanged" and signal.body[1] == owner:
        raise Unreachable("memd has ended; see `systemctl status memd`")
    if signal.sender == owner and signal.member == "PressureChanged" and signal.signature == "sa{sv}":
        return signal.body[0], plain(signal.body[1])
    return None


def plain(value: Any) -> Any:
    """Without Variants, all the way down."""
    from dbus_next.signature import Variant

    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def take(indices: list[int], fds: list[int]) -> list[int]:
    """The fds that a body's `h` values point at; all others are closed, and all of them if one is not there."""
    good = len(set(indices)) == len(indices) and all(index < len(fds) for index in indices)
    taken = [fds[index] for index in indices] if good else []
    close_all([fd for fd in fds if fd not in taken])
    if not good:
        raise Failed(
            "memd's reply came without its buffers; is something between us and the bus that drops file descriptors?"
        )
    return taken


def _plain(
    member: str,
    read: Callable[[list[Any]], T],
    signature: str = "a{sv}",
    arguments: tuple[object, ...] = ({},),
    at: tuple[str, str] = (names.ROOT_PATH, names.MANAGER),
) -> Question[T]:
    """A method that gives no fds."""

    def without_fds(body: list[Any], fds: list[int]) -> T:
        close_all(fds)
        return read(plain(body))

    return Question(member, signature, arguments, without_fds, at)


def _options(**values: str | int | None) -> dict[str, Any]:
    """a{sv} of what is not None: str is s, uid and pid are u, other int t."""
    lean.marshalling()
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
