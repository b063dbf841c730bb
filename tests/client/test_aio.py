"""The asyncio client against a peer that says what a memd would, and what it never should. What both clients share is test_blocking's."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import os
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from dbus_next import Message, Variant

from memd import errors
from memd.client import AsyncMemd, Memd, Unreachable
from memd.client.aioconnection import MAX_UNSENT
from memd.client.framing import TimedOut
from tests.client.conftest import MEMD, Out, Peer, error, gone, marshall, memfd, pressure, reply
from tests.client.test_blocking import grant, status


@pytest.fixture(autouse=True)
async def settled(no_task_left: None) -> None:
    """No test here leaves a task."""


def test_both_clients_have_the_same_methods() -> None:
    shapes = [
        {name: inspect.signature(method).parameters for name, method in vars(kind).items() if name[0] != "_"}
        for kind in (Memd, AsyncMemd)
    ]

    assert {name: shape for name, shape in shapes[1].items() if name != "open"} == shapes[0]


async def test_allocate(peer: Peer) -> None:
    peer.handler = lambda call: [grant(call)]

    async with AsyncMemd(peer.address) as memd:
        with await memd.allocate("any", 100, name="camera") as buffer:
            assert (buffer.id, buffer.heap, buffer.size) == (17, "simulated", 4096)
            assert fcntl.fcntl(buffer.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
            with buffer.mmap() as memory, buffer.sync_read():
                assert memory[:5] == b"token"

    call = peer.calls[-1]
    assert (call.member, call.signature) == ("Allocate", "sta{sv}")
    assert call.body == ["any", 100, {"name": Variant("s", "camera")}]


async def test_answers_in_another_order(peer: Peer) -> None:
    """Each caller gets what is his, whoever is answered first."""
    held: list[Message] = []

    def answer(call: Message) -> list[Out]:
        held.append(call)
        return [grant(one, one.body[0].encode(), one.body[1]) for one in reversed(held)] if len(held) == 3 else []

    peer.handler = answer

    async with AsyncMemd(peer.address) as memd:
        buffers = await asyncio.gather(*[memd.allocate(f"heap{number}", number) for number in (1, 2, 3)])
        for number, buffer in enumerate(buffers, 1):
            with buffer:
                assert (buffer.id, os.pread(buffer.fileno(), 5, 0)) == (number, f"heap{number}".encode())


async def test_many_and_their_order(peer: Peer) -> None:
    peer.handler = lambda call: [
        reply(call, "ahata{sv}", [1, 0], [8, 9], {"heap": Variant("s", "x")}, fds=(memfd(b"nine"), memfd(b"eight")))
    ]

    async with AsyncMemd(peer.address) as memd:
        first, second = await memd.allocate_many("x", [1, 4097])
        with first, second:
            assert [first.id, first.size, second.id, second.size] == [8, 4096, 9, 8192]
            assert os.pread(first.fileno(), 5, 0) == b"eight"


@pytest.mark.parametrize("how", ["time", "cancelled"])
async def test_late_reply_is_dropped_with_its_fd(peer: Peer, how: str) -> None:
    held: list[Out] = []

    def answer(call: Message) -> list[Out]:
        if call.member == "Allocate":
            held.append(grant(call))
            return []
        return [*held, status(call)]

    peer.handler = answer

    async with AsyncMemd(peer.address, timeout=25 if how == "cancelled" else 0.1) as memd:
        late = asyncio.create_task(memd.allocate("any", 1))
        while how == "cancelled" and not held:
            await asyncio.sleep(0.001)
        if how == "cancelled":
            late.cancel()
        with pytest.raises((TimedOut, asyncio.CancelledError)):
            await late
        memd._connection.timeout = 25
        assert await memd.heaps() == []


async def test_cancelled_when_the_answer_is_there(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fd has come and its task has not run yet. That none is left is checked by the fixture of every test."""
    peer.handler = lambda call: [grant(call)]

    async with AsyncMemd(peer.address) as memd:
        task = asyncio.create_task(memd.allocate("any", 1))
        await asyncio.sleep(0)
        take = memd._connection._take
        monkeypatch.setattr(memd._connection, "_take", lambda received: (take(received), task.cancel()))
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_fds_nobody_asked_for_are_closed(peer: Peer) -> None:
    def answer(call: Message) -> list[Out]:
        stranger = Message("a.b", "/", "c.d", "Call", signature="h", body=[0], unix_fds=[fd := memfd()], serial=1)
        forged, _ = pressure("critical")
        assert isinstance(forged, Message)
        forged.unix_fds = [other := memfd()]
        unknown = reply(call, "h", 0, fds=(memfd(),))
        assert isinstance(unknown[0], Message)
        unknown[0].reply_serial = 999
        return [(stranger, [fd]), (forged, [other]), unknown, reply(call, "a{sv}", {}, fds=(memfd(),))]

    peer.handler = answer

    async with AsyncMemd(peer.address) as memd:
        assert not await memd.status()


@pytest.mark.parametrize(("body", "fds"), [((1, 5, {}), 1), ((0, 5, {}), 0)])
async def test_fds_that_do_not_fit_are_closed(peer: Peer, body: tuple[Any, ...], fds: int) -> None:
    peer.handler = lambda call: [reply(call, "hta{sv}", *body, fds=tuple(memfd() for _ in range(fds)))]

    async with AsyncMemd(peer.address) as memd:
        with pytest.raises(errors.Failed, match="without its buffers"):
            await memd.allocate("any", 1)


async def test_errors_have_classes(peer: Peer) -> None:
    peer.handler = lambda call: [error(call, "org.memd1.Error.QuotaExceeded", "rule all: ...")]

    async with AsyncMemd(peer.address) as memd:
        with pytest.raises(errors.QuotaExceeded, match="rule all"):
            await memd.allocate("any", 1)


async def test_buffers_are_read_page_by_page(peer: Peer) -> None:
    def answer(call: Message) -> list[Out]:
        after = call.body[0]["after"].value
        following = {"next": Variant("t", after + 1)} if after < 2 else {}
        return [reply(call, "aa{sv}a{sv}", [{"id": Variant("t", after + 1), "time": Variant("t", 1)}], following)]

    peer.handler = answer

    async with AsyncMemd(peer.address) as memd:
        assert [row["id"] async for row in memd.buffers(owner="uid:1")] == [1, 2, 3]
    assert peer.calls[-1].body[0]["owner"] == Variant("s", "uid:1")


async def test_administrators_methods(peer: Peer) -> None:
    answers = {
        "CanAllocate": lambda call: reply(call, "ba{sv}", False, {"reason": Variant("s", "no rule")}),
        "Reload": lambda call: reply(call, "a{sv}", {"message": Variant("s", "reloaded")}),
        "WriteOff": lambda call: reply(call, "a{sv}", {"owner": Variant("s", "uid:1")}),
    }
    peer.handler = lambda call: [answers[call.member](call)]

    async with AsyncMemd(peer.address) as memd:
        assert await memd.can_allocate("system", 4096, uid=1000) == (False, {"reason": "no rule"})
        assert await memd.reload() == {"message": "reloaded"}
        assert await memd.write_off(17) == {"owner": "uid:1"}
        assert peer.calls[-1].body == [17, {}]


async def test_pressure_trusts_the_owner_only(peer: Peer) -> None:
    """Calls go on meanwhile; forged signals come from another name."""
    peer.handler = lambda call: [
        status(call),
        pressure("critical", sender=":1.666"),
        gone(sender=":1.666"),
        pressure("medium"),
        gone(),
    ]

    async with AsyncMemd(peer.address) as memd:
        changes = memd.pressure()
        assert (await anext(changes))[0] == "none"
        assert await anext(changes) == ("medium", {"some_avg10": 12.5})
        with pytest.raises(Unreachable, match="memd has ended"):
            await anext(changes)


def exhausted(sender: str = MEMD, *, arguments: int = 3) -> Out:
    body = ["reserved", 8, {"largest_free": Variant("t", 4096), "MEMD_OF": Variant("s", "x")}][:arguments]
    signature = "sta{sv}" if arguments == 3 else "st"
    message = Message.new_signal(
        "/org/memd1", "org.memd1.Manager", "CmaAllocationFailed", signature=signature, body=body
    )
    message.sender, message.serial = sender, 5002
    return message, []


async def test_events_are_all_that_memd_tells_and_nobody_else(peer: Peer) -> None:
    """The first is None: from then on none is lost. What others say in its name, and what is no event, is left out."""
    peer.handler = lambda call: [
        status(call),
        pressure("critical", sender=":1.666"),
        exhausted(sender=":1.666"),
        exhausted(arguments=2),
        gone(sender=":1.666"),
        gone(owner=":1.666"),
        pressure("medium"),
        exhausted(),
        gone(),
    ]

    async with AsyncMemd(peer.address) as memd:
        events = memd.events()
        assert await anext(events) is None
        assert [call.member for call in peer.calls[1:]] == ["AddMatch", "AddMatch", "GetNameOwner"]
        await memd.status()
        assert await anext(events) == ("PressureChanged", {"level": "medium", "some_avg10": 12.5})
        assert await anext(events) == (
            "CmaAllocationFailed",
            {"region": "reserved", "pages": 8, "largest_free": 4096, "MEMD_OF": "x"},
        )
        with pytest.raises(Unreachable, match="memd has ended"):
            await anext(events)


async def test_events_that_do_not_come_are_waited_for_in_turns(peer: Peer) -> None:
    """None at each turn, so that who draws a clock beside them can; and what comes later is not lost by it."""
    peer.handler = lambda call: [status(call), pressure("low")]

    async with AsyncMemd(peer.address) as memd:
        events = memd.events(every=0.01)
        assert [await anext(events) for _ in range(3)] == [None, None, None]
        await memd.status()
        while (event := await anext(events)) is None:
            pass
        assert event == ("PressureChanged", {"level": "low", "some_avg10": 12.5})


async def test_events_end_with_the_bus(peer: Peer) -> None:
    async with AsyncMemd(peer.address) as memd:
        events = memd.events(every=60)
        assert await anext(events) is None
        peer.close_client()
        with pytest.raises(Unreachable, match="bus"):
            await anext(events)


async def test_who_listens_hears_of_the_end(peer: Peer) -> None:
    peer.handler = lambda call: [status(call)]

    async with AsyncMemd(peer.address) as memd:
        changes = memd.pressure()
        await anext(changes)
        peer.close_client()
        with pytest.raises(Unreachable, match="bus"):
            await anext(changes)
        with pytest.raises(Unreachable, match="bus"):
            await memd.status()


async def test_who_waits_hears_of_the_end(peer: Peer) -> None:
    peer.handler = lambda call: []

    async with AsyncMemd(peer.address) as memd:
        waiting = asyncio.create_task(memd.status())
        await asyncio.sleep(0)
        memd.close()
        with pytest.raises(Unreachable, match="closed"):
            await waiting
    with pytest.raises(Unreachable, match="closed"):
        await memd.status()


async def test_not_open() -> None:
    with pytest.raises(Unreachable, match="async with AsyncMemd"):
        await AsyncMemd("unix:path=/nowhere").status()


async def test_no_bus(tmp_path: object) -> None:
    with pytest.raises(Unreachable, match="there is no bus at"):
        await AsyncMemd(f"unix:path={tmp_path}/nothing").open()


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"REJECTED EXTERNAL\r\n", "refuses"), (b"DATA\r\nOK 1\r\nERROR\r\n", "file descriptors")],
)
async def test_authentication_refused(peer: Peer, answer: bytes, words: str) -> None:
    peer.answer = answer

    with pytest.raises(Unreachable, match=words):
        await AsyncMemd(peer.address).open()


async def test_a_bus_that_does_not_greet(tmp_path: Any) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bus"))
        listener.listen()
        with pytest.raises(TimedOut):
            await AsyncMemd(f"unix:path={tmp_path}/bus", timeout=0.05).open()


async def test_what_makes_no_sense(peer: Peer) -> None:
    """A signal is dropped, a reply is told, a stream of something else ends the connection."""
    good, _ = pressure("low")
    assert isinstance(good, Message)
    broken = marshall(good).replace(b"sa{sv}", b"sa{s}}")

    def answer(call: Message) -> list[Out]:
        message, _ = status(call)
        assert isinstance(message, Message)
        return [(broken, []), (marshall(message).replace(b"a{sv}", b"a{s}}", 1), [])]

    peer.handler = answer

    async with AsyncMemd(peer.address) as memd:
        with pytest.raises(errors.Failed, match="makes no sense"):
            await memd.status()
        peer.handler = lambda call: [(b"HTTP/1.1 400 Bad Request\r\n", [])]
        with pytest.raises(Unreachable, match="speaks no D-Bus"):
            await memd.status()


async def test_a_bus_that_does_not_read(tmp_path: Any) -> None:
    """Calls wait in a bounded buffer, and what is above it is told at once."""
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        memd = AsyncMemd("unix:path=/nowhere", timeout=0.05)
        connection = memd._connection
        connection._loop, connection._socket = asyncio.get_running_loop(), near
        while len(connection._unsent) <= MAX_UNSENT:
            connection._send(bytes(MAX_UNSENT // 8))
        with pytest.raises(Unreachable, match="takes no message"):
            connection._send(b"x")
        memd.close()


async def test_events(peer: Peer) -> None:
    """None when it listens, then what memd tells, nothing of others; None when the time is up, and an error when memd goes."""
    told = [[pressure("critical", sender=":1.666"), gone(sender=":1.666"), pressure("medium")], [gone()]]
    peer.handler = lambda call: [status(call), *told.pop(0)]

    async with AsyncMemd(peer.address) as memd:
        events = memd.events(0.2)
        assert await anext(events) is None
        await memd.status()
        assert await anext(events) == ("PressureChanged", {"level": "medium", "some_avg10": 12.5})
        assert await anext(events) is None
        await memd.status()
        with pytest.raises(Unreachable, match="memd has ended"):
            await anext(events)


async def test_events_that_nobody_reads_any_more(peer: Peer) -> None:
    """The listener is gone with the iterator, and the connection serves on."""
    peer.handler = lambda call: [pressure("low"), status(call)]

    async with AsyncMemd(peer.address) as memd:
        events = memd.events()
        assert isinstance(events, AsyncGenerator)
        assert await anext(events) is None
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await events.aclose()
        assert (await memd.status())["pressure"]["level"] == "none"
