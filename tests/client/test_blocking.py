"""The client against a peer that says what a memd would, and what it never should."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import Any

import pytest
from dbus_next import Message, Variant

from memd import errors
from memd.client import Memd, Unreachable
from memd.client.framing import MAX_MESSAGE, TimedOut
from tests.client.conftest import Out, Peer, error, gone, marshall, memfd, pressure, reply


def grant(call: Message, text: bytes = b"token", number: int = 17) -> Out:
    info = {"heap": Variant("s", "simulated"), "size": Variant("t", 4096)}
    return reply(call, "hta{sv}", 0, number, info, fds=(memfd(text),))


def status(call: Message) -> Out:
    facts = {"level": Variant("s", "none"), "since": Variant("d", 1.0)}
    return reply(call, "a{sv}", {"pressure": Variant("a{sv}", facts), "heaps": Variant("aa{sv}", [])})


def test_allocate(peer: Peer) -> None:
    peer.handler = lambda call: [grant(call)]

    with Memd(peer.address) as memd, memd.allocate("any", 100, name="camera") as buffer:
        assert (buffer.id, buffer.heap, buffer.size) == (17, "simulated", 4096)
        assert fcntl.fcntl(buffer.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        with buffer.mmap() as memory, buffer.sync():
            assert memory[:5] == b"token"

    call = peer.calls[-1]
    assert (call.member, call.signature) == ("Allocate", "sta{sv}")
    assert call.body == ["any", 100, {"name": Variant("s", "camera")}]


def test_allocate_many_maps_each_index(peer: Peer) -> None:
    """The order of `h` in a body is not the order of the fds."""
    peer.handler = lambda call: [
        reply(call, "ahata{sv}", [1, 0], [8, 9], {"heap": Variant("s", "x")}, fds=(memfd(b"nine"), memfd(b"eight")))
    ]

    with Memd(peer.address) as memd:
        buffers = memd.allocate_many("x", [1, 4097])
        try:
            assert [(one.id, one.size, os.pread(one.fileno(), 5, 0).strip(b"\0")) for one in buffers] == [
                (8, 4096, b"eight"),
                (9, 8192, b"nine"),
            ]
        finally:
            for buffer in buffers:
                buffer.close()


def test_detached_fd_is_the_callers(peer: Peer) -> None:
    peer.handler = lambda call: [grant(call)]

    with Memd(peer.address) as memd, memd.allocate("any", 1) as buffer:
        fd = buffer.detach()
        with pytest.raises(ValueError, match="closed"):
            buffer.fileno()
    assert os.pread(fd, 5, 0) == b"token"
    os.close(fd)


def test_forgotten_buffer_warns(peer: Peer) -> None:
    peer.handler = lambda call: [grant(call)]

    with Memd(peer.address) as memd:
        buffer = memd.allocate("any", 1)
        with pytest.warns(ResourceWarning, match="unclosed <DmaBuf 17"):
            del buffer


@pytest.mark.parametrize(
    ("body", "fds"),
    [
        ((1, 5, {}), 1),  # points behind its fds
        ((0, 5, {}), 0),  # has none
        ((0, 5, {}), 3),  # two more than it points at
    ],
)
def test_fds_that_do_not_fit_are_closed(peer: Peer, body: tuple[Any, ...], fds: int) -> None:
    """That none is left open is checked by the fixture of every test."""
    peer.handler = lambda call: [reply(call, "hta{sv}", *body, fds=tuple(memfd() for _ in range(fds)))]

    with Memd(peer.address) as memd:
        if fds == 3:
            memd.allocate("any", 1).close()
        else:
            with pytest.raises(errors.Failed, match="without its buffers"):
                memd.allocate("any", 1)


def test_fds_nobody_asked_for_are_closed(peer: Peer) -> None:
    def answer(call: Message) -> list[Out]:
        stranger = Message("a.b", "/", "c.d", "Call", signature="h", body=[0], unix_fds=[fd := memfd()], serial=1)
        forged, _ = pressure("critical")
        assert isinstance(forged, Message)
        forged.unix_fds = [other := memfd()]
        return [(stranger, [fd]), (forged, [other]), reply(call, "a{sv}", {}, fds=(memfd(),))]

    peer.handler = answer

    with Memd(peer.address) as memd:
        assert not memd.status()


def test_late_reply_is_dropped_with_its_fd(peer: Peer) -> None:
    held: list[Out] = []

    def answer(call: Message) -> list[Out]:
        if call.member == "Allocate":
            held.append(grant(call))
            return []
        return [*held, status(call)]

    peer.handler = answer

    with Memd(peer.address, timeout=0.1) as memd:
        with pytest.raises(TimedOut, match="did not answer in time"):
            memd.allocate("any", 1)
        memd._connection.timeout = 25
        assert memd.heaps() == []


def test_reply_in_pieces_survives_a_timeout(peer: Peer) -> None:
    """Half a message before the timeout, half after it: the stream stays in step, the first reply is late."""
    rest: list[bytes] = []

    def answer(call: Message) -> list[Out]:
        message, _ = status(call)
        assert isinstance(message, Message)
        data = marshall(message)
        if rest:
            return [(rest.pop(), []), (data, [])]
        rest.append(data[50:])
        return [(data[:50], [])]

    peer.handler = answer

    with Memd(peer.address, timeout=0.1) as memd:
        with pytest.raises(TimedOut):
            memd.status()
        memd._connection.timeout = 25
        assert memd.heaps() == []


FULL = """
import os, resource, sys
from memd.client import Memd
from memd.errors import Failed
with Memd(sys.argv[1]) as memd:
    memd.heaps()
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    full = []
    while len(full) < 20:
        try:
            full.append(os.dup(0))
        except OSError:
            break
    try:
        memd.allocate("any", 1)
    except Failed as error:
        os.write(1, str(error).encode())
"""


def test_no_room_for_the_fd(peer: Peer) -> None:
    """In a process of its own: a full one cannot even import."""
    peer.handler = lambda call: [grant(call) if call.member == "Allocate" else status(call)]

    done = subprocess.run([sys.executable, "-c", FULL, peer.address], capture_output=True, text=True)

    assert "RLIMIT_NOFILE" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("org.memd1.Error.NotAllowed", errors.NotAllowed),
        ("org.memd1.Error.QuotaExceeded", errors.QuotaExceeded),
        ("org.memd1.Error.NoSuchHeap", errors.NoSuchHeap),
        ("org.memd1.Error.Failed", errors.Failed),
        ("org.freedesktop.DBus.Error.InvalidArgs", errors.InvalidArgs),
        ("org.freedesktop.DBus.Error.AccessDenied", errors.AccessDenied),
        ("org.freedesktop.DBus.Error.ServiceUnknown", Unreachable),
        ("org.freedesktop.DBus.Error.NoReply", Unreachable),
        ("org.freedesktop.DBus.Error.Spawn.ChildExited", Unreachable),
        ("org.freedesktop.systemd1.NoSuchUnit", Unreachable),
        ("org.freedesktop.DBus.Error.UnknownMethod", errors.NotSupported),
        ("com.example.Odd", errors.Failed),
    ],
)
def test_errors_have_classes(peer: Peer, name: str, kind: type[errors.MemdError]) -> None:
    peer.handler = lambda call: [error(call, name, "words")]

    with Memd(peer.address) as memd, pytest.raises(errors.MemdError) as caught:
        memd.status()
    assert type(caught.value) is kind
    assert "words" in str(caught.value) or "systemctl" in str(caught.value)


def test_every_error_of_memd_comes_back_as_itself() -> None:
    from memd.client.errors import LOCAL, from_bus

    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.MemdError) and kind not in (errors.MemdError, *LOCAL):
            assert type(from_bus(kind.bus_name, "")) is kind


def test_buffers_are_read_page_by_page(peer: Peer) -> None:
    def answer(call: Message) -> list[Out]:
        options = call.body[0]
        first = options["after"].value + 1
        last = min(first + options["limit"].value - 1, 2500)
        rows = [{"id": Variant("t", number), "time": Variant("t", 1_500_000)} for number in range(first, last + 1)]
        following = {"next": Variant("t", last)} if last < 2500 else {}
        return [reply(call, "aa{sv}a{sv}", rows, following)]

    peer.handler = answer

    with Memd(peer.address) as memd:
        rows = list(memd.buffers(heap="system", older=60))
    assert [row["id"] for row in rows] == list(range(1, 2501))
    assert rows[0]["time"] == 1.5
    assert peer.calls[-1].body[0]["heap"] == Variant("s", "system")


def test_can_allocate_and_reload(peer: Peer) -> None:
    answers = {
        "CanAllocate": lambda call: reply(call, "ba{sv}", False, {"reason": Variant("s", "no rule")}),
        "Reload": lambda call: reply(call, "a{sv}", {"message": Variant("s", "reloaded")}),
    }
    peer.handler = lambda call: [answers[call.member](call)]

    with Memd(peer.address) as memd:
        assert memd.can_allocate("system", 4096, uid=1000) == (False, {"reason": "no rule"})
        assert peer.calls[-1].body[2] == {"uid": Variant("u", 1000)}
        assert memd.reload() == {"message": "reloaded"}


def test_pressure_trusts_the_owner_only(peer: Peer) -> None:
    """Forged signals come from another name; memd's own count, until the bus says that it is gone."""
    peer.handler = lambda call: [
        status(call),
        pressure("critical", sender=":1.666"),
        gone(sender=":1.666"),
        pressure("medium"),
        gone(),
    ]

    with Memd(peer.address) as memd:
        changes = memd.pressure()
        assert next(changes)[0] == "none"
        assert next(changes) == ("medium", {"some_avg10": 12.5})
        with pytest.raises(Unreachable, match="memd has ended"):
            next(changes)


def test_signals_that_make_no_sense_are_dropped(peer: Peer) -> None:
    good, _ = pressure("low")
    assert isinstance(good, Message)
    broken = marshall(good).replace(b"sa{sv}", b"sa{s}}")
    peer.handler = lambda call: [(broken, []), status(call)]

    with Memd(peer.address) as memd:
        assert memd.heaps() == []


def test_reply_that_makes_no_sense_is_told(peer: Peer) -> None:
    def answer(call: Message) -> list[Out]:
        message, _ = status(call)
        assert isinstance(message, Message)
        return [(marshall(message).replace(b"a{sv}", b"a{s}}", 1), [])]

    peer.handler = answer

    with Memd(peer.address) as memd, pytest.raises(errors.Failed, match="makes no sense"):
        memd.status()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "speaks no D-Bus"),
        (b"l\2\1\1" + (MAX_MESSAGE).to_bytes(4, "little") + bytes(8), "at most"),
        (b"B\2\1\1" + (MAX_MESSAGE).to_bytes(4, "big") + bytes(8), "at most"),
    ],
)
def test_stream_that_is_no_bus(peer: Peer, data: bytes, words: str) -> None:
    peer.handler = lambda call: [(data, [])]

    with Memd(peer.address) as memd, pytest.raises(Unreachable, match=words):
        memd.status()


def test_bus_that_closes(peer: Peer) -> None:
    with Memd(peer.address) as memd:
        peer.close_client()
        with pytest.raises(Unreachable, match="bus"):
            memd.status()
        with pytest.raises(Unreachable):
            memd.status()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"REJECTED EXTERNAL\r\n", "refuses"),
        (b"DATA\r\nOK 1\r\nERROR\r\n", "file descriptors"),
        (b"x" * 5000, "refuses"),
    ],
)
def test_authentication_refused(peer: Peer, answer: bytes, words: str) -> None:
    peer.answer = answer

    with pytest.raises(Unreachable, match=words):
        Memd(peer.address)


def test_no_bus(tmp_path: object) -> None:
    with pytest.raises(Unreachable, match="there is no bus at"):
        Memd(f"unix:path={tmp_path}/nothing")


@pytest.mark.parametrize(
    ("heap", "size", "name"), [("a\0b", 1, ""), ("a", 1, "x\0"), ("a", 1 << 64, ""), ("a", -1, ""), ("\udcff", 1, "")]
)
def test_words_that_no_bus_takes(peer: Peer, heap: str, size: int, name: str) -> None:
    peer.handler = lambda call: [status(call)]

    with Memd(peer.address) as memd:
        with pytest.raises(errors.InvalidArgs):
            memd.allocate(heap, size, name)
        assert memd.heaps() == []  # and the connection lives
