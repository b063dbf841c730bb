"""The connection against real buses: who owns which fd, what is dropped, what it survives. Attacks on a whole server: test_attacks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memd.bus.calls import BUS, CallFailed
from memd.bus.connection import BUS_PATH, Connection
from memd.bus.library import MAX_SIGNATURES, Library
from memd.bus.wire import MAX_BODY, Reader, Received, parse_header
from memd.bus.writer import Writer
from memd.names import BUS_NAME
from tests.bus.buses import Bus
from tests.bus.daemon import REPOSITORY
from tests.bus.raw import Raw, memfds


async def serving(bus: Bus, library: Library) -> Connection:
    """A connection that owns the name: the bus' policy lets nobody call another."""
    connection = await Connection.connect(bus.address, library=library)
    await connection.call_bus("RequestName", "su", [BUS_NAME, 4])
    return connection


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def stream() -> tuple[socket.socket, Reader, list[Received], list[Received]]:
    """A socket to write bytes to, and what a Reader makes of them."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    whole: list[Received] = []
    cut: list[Received] = []
    return ours, Reader(theirs, whole.append, cut.append), whole, cut


def call_message(library: Library, **more: Any) -> bytes:
    fields = {"path": "/a", "interface": "a.b", "member": "C", "signature": "s", "body": ["x"]} | more
    return library.marshal(1, 7, **fields)


async def test_says_hello_and_calls_the_bus(bus: Bus, library: Library) -> None:
    connection = await Connection.connect(bus.address, library=library)

    (names,) = await connection.call_bus("ListNames")

    assert connection.unique_name in names
    connection.close()
    assert await connection.closed == "closed by memd"


async def test_serials_begin_again(daemon_bus: Bus, library: Library) -> None:
    """0 is none, and what is more than 32 bits cannot be sent."""
    connection = await Connection.connect(daemon_bus.address, library=library)
    connection._calls._serial = 0xFFFFFFFE

    assert [await connection.call_bus("GetId") != [] for _ in range(3)] == [True] * 3
    assert connection._calls._serial == 2
    connection.close()


async def test_error_reply_raises_with_its_name(bus: Bus, library: Library) -> None:
    connection = await Connection.connect(bus.address, library=library)

    with pytest.raises(CallFailed) as caught:
        await connection.call_bus("GetNameOwner", "s", ["org.nobody"])

    assert caught.value.name == "org.freedesktop.DBus.Error.NameHasNoOwner"
    connection.close()


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "tcp:host=localhost,port=1", "nonsense", "unix:"])
async def test_no_bus_says_which_and_why(address: str, library: Library) -> None:
    with pytest.raises((ConnectionError, ValueError), match=address):
        await Connection.connect(address, library=library)


async def test_a_listener_that_is_no_bus(tmp_path: Any, library: Library) -> None:
    closed = asyncio.Event()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_unix_server(close, tmp_path / "bus")
    with pytest.raises(ConnectionError, match="ended the authentication"):
        await Connection.connect(f"unix:path={tmp_path}/bus", library=library)
    await closed.wait()
    server.close()
    await server.wait_closed()


async def test_end_of_the_bus_is_told_and_ends_calls(bus: Bus, library: Library) -> None:
    connection = await serving(bus, library)
    waiting = asyncio.create_task(connection.call(BUS_NAME, "/", "a.b", "C"))
    connection.on_call = lambda _: bus.process.kill()

    with pytest.raises(ConnectionError, match="gone"):
        await waiting

    assert "bus" in await connection.closed
    with pytest.raises(ConnectionError):
        await connection.call_bus("ListNames")
    with memfds(1) as mine:
        connection.reply(Received(1, 0, 1, "<", sender=":1.1"), "h", [0], [os.dup(mine[0])])


async def test_fds_of_late_replies_are_closed(bus: Bus, library: Library) -> None:
    server = await serving(bus, library)
    client = await Connection.connect(bus.address, library=library)
    calls: list[Received] = []
    server.on_call = calls.append
    before = fds()
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await client.call(BUS_NAME, "/", "a.b", "C")
    while len(calls) < 100:
        await asyncio.sleep(0.001)

    for call in calls:
        server.reply(call, "h", [0], [os.memfd_create("late")])
    await server.call_bus("GetId")  # behind the replies, so that they are with the client before its own
    await client.call_bus("GetId")

    assert fds() == before
    assert not client._calls._waiting
    client.close()
    server.close()


async def test_received_fds_are_close_on_exec_and_the_callers(bus: Bus, library: Library) -> None:
    server = await serving(bus, library)
    server.on_call = lambda call: server.reply(call, "ah", [[0, 1]], [os.memfd_create("a"), os.memfd_create("b")])
    client = await Connection.connect(bus.address, library=library)

    reply = await client.call(BUS_NAME, "/", "a.b", "C")

    assert [os.get_inheritable(fd) for fd in reply.fds] == [False, False]
    assert client.arguments(reply) == [[0, 1]]
    reply.close()
    client.close()
    server.close()


@pytest.mark.parametrize("bad", ["closed", "string", "too many"])
async def test_an_fd_that_cannot_be_sent_concerns_its_call_only(bus: Bus, library: Library, bad: str) -> None:
    server = await serving(bus, library)
    client = await Connection.connect(bus.address, library=library)

    def bad_fds() -> list[Any]:
        first = os.memfd_create("first")
        if bad == "closed":
            os.close(first)
        more: list[Any] = ["1"] if bad == "string" else [os.dup(first) for _ in range(16)] if bad == "too many" else []
        return [first, *more]

    server.on_call = lambda call: server.reply(call, "h", [0], bad_fds())
    before = fds()
    with pytest.raises(CallFailed, match=r"org\.memd1\.Error\.Failed"):
        await client.call(BUS_NAME, "/", "a.b", "C")

    assert fds() == before
    assert (await client.call(BUS, BUS_PATH, BUS, "GetId")).kind == 2
    client.close()
    server.close()


async def test_replies_of_strangers_are_not_taken(daemon_bus: Bus, library: Library) -> None:
    server = await Connection.connect(daemon_bus.address, library=library)
    message = Received(2, 0, 1, "<", reply_serial=5, sender=":1.99", fds=[os.memfd_create("stranger")])
    server._calls._serial = 4

    with server._calls.expected(BUS) as waiting:
        server._deliver(message)

    assert not waiting.answer.done()
    assert message.fds == []
    server.close()


async def test_text_that_the_bus_would_disconnect_for(bus: Bus, library: Library) -> None:
    """A NUL or a lone surrogate (a kernel name's byte) in an error must not end the connection."""
    server = await serving(bus, library)
    server.on_call = lambda call: server.error(call, "a.b.C", "heap \0 and \udcff")
    client = await Connection.connect(bus.address, library=library)

    with pytest.raises(CallFailed, match=r"heap \\0 and \\udcff"):
        await client.call(BUS_NAME, "/", "a.b", "C")

    client.close()
    server.close()


async def test_messages_before_a_close_are_drained(bus: Bus, library: Library) -> None:
    server = await serving(bus, library)
    with Raw.connect(bus.address) as client:
        for _ in range(2000):
            server._send(
                4, path="/a", interface="a.b", member="Told", destination=client.name, signature="s", body=["x" * 500]
            )
        async with asyncio.TaskGroup() as tasks:
            told = tasks.create_task(asyncio.to_thread(lambda: [client.read().member for _ in range(2001)]))
            await server.drain()
            server.close()
        assert told.result().count("Told") == 2000  # NameAcquired is the other


async def test_a_bus_that_does_not_read_for_a_while(bus: Bus, library: Library) -> None:
    """5,000 messages wait, calls are not read meanwhile, and nothing is lost."""
    server = await serving(bus, library)
    with Raw.connect(bus.address) as client:
        bus.process.send_signal(signal.SIGSTOP)
        for _ in range(5000):
            server._send(
                4, path="/a", interface="a.b", member="Told", destination=client.name, signature="s", body=["x"]
            )
        stopped = server._reader.stopped
        server.signal("/a", "a.b", "Dropped", "", [])
        bus.process.send_signal(signal.SIGCONT)
        told = await asyncio.to_thread(lambda: [client.read().member for _ in range(5001)])

    await server.drain()
    assert told.count("Told") == 5000
    assert (stopped, server._reader.stopped) == (True, False)
    server.close()


async def test_fds_that_wait_are_bounded_by_not_reading(bus: Bus, library: Library) -> None:
    server = await serving(bus, library)
    server._max_fds = 64
    before = fds()
    with Raw.connect(bus.address) as client:
        bus.process.send_signal(signal.SIGSTOP)
        call = Received(1, 0, 1, "<", sender=client.name)
        while not server._reader.stopped:
            server.reply(call, "h", [0], [os.memfd_create("waits")])
        assert server._writer.fds == 65
        server.close()
        bus.process.send_signal(signal.SIGCONT)

    assert fds() <= before


@pytest.mark.parametrize("size", [1, 3, 15, 64])
def test_segmented_stream_gives_the_same_messages(library: Library, size: int) -> None:
    sock, reader, whole, _ = stream()
    data = (
        call_message(library) + call_message(library, body=["y" * 1000]) + call_message(library, signature="", body=[])
    )
    for offset in range(0, len(data), size):
        sock.sendall(data[offset : offset + size])
        reader.run()

    assert [message.signature for message in whole] == ["s", "s", ""]
    assert library.unmarshal("s", whole[1].body, "<") == ["y" * 1000]
    sock.close()
    reader._sock.close()


def test_fds_belong_to_the_message_they_came_with(library: Library) -> None:
    sock, reader, whole, _ = stream()
    with memfds(3) as mine:
        inodes = [os.fstat(fd).st_ino for fd in mine]
        for data, sent in (
            (call_message(library), mine[:2]),
            (call_message(library), []),
            (call_message(library), mine[2:]),
        ):
            sock.sendmsg(
                [data[:10]],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(sent)}i", *sent))] if sent else [],
            )
            sock.sendall(data[10:])
        while len(whole) < 3:
            reader.run()

    assert [[os.fstat(fd).st_ino for fd in message.fds] for message in whole] == [inodes[:2], [], inodes[2:]]
    for message in whole:
        message.close()
    sock.close()
    reader._sock.close()


def test_unknown_header_fields_are_ignored(library: Library) -> None:
    """Of any type, known fields after them included."""
    good = call_message(library)
    length = struct.unpack_from("<I", good, 12)[0]
    fields = good[16 : 16 + length]
    for extra in (b"\x50\1s\0\1\0\0\0x\0", b"\x51\2ay\0\0\0\0\2\0\0\0ab", b"\x50\1d\0" + bytes(4) + bytes(8)):
        padded = extra + bytes(-len(extra) & 7)
        raw = good[:12] + struct.pack("<I", len(padded) + length) + padded + fields

        message = parse_header(raw)

        assert (message.path, message.member, message.signature) == ("/a", "C", "s")


@pytest.mark.parametrize("spoil", [{0: 0}, {3: 2}, {12: 0xFF}, {16: 8}, {17: 0xFF}, {18: ord("a")}, {24: 0xFF}])
def test_a_header_that_does_not_parse_is_dropped_with_its_fds(library: Library, spoil: dict[int, int]) -> None:
    sock, reader, whole, _ = stream()
    before = fds()
    bad = bytearray(call_message(library))
    for index, byte in spoil.items():
        bad[index] = byte
    with memfds(2) as mine:
        sock.sendmsg([bad], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("2i", *mine))])
        sock.sendall(bytes(1024))
        reader.run()

    assert whole == []
    reader.close()
    assert fds() == before
    sock.close()
    reader._sock.close()


@pytest.mark.parametrize("endian", "<>")
def test_big_endian_callers(library: Library, endian: str) -> None:
    text = struct.pack(endian + "I", 2) + b"hi\0"
    fields = (
        b"\1\1o\0"
        + struct.pack(endian + "I", 2)
        + b"/a\0"
        + bytes(5)
        + b"\3\1s\0"
        + struct.pack(endian + "I", 1)
        + b"C\0"
    )
    fields += bytes(-len(fields) & 7) + b"\x08\1g\0\1s\0"
    raw = (
        (b"l" if endian == "<" else b"B") + b"\1\0\1" + struct.pack(endian + "III", len(text), 9, len(fields)) + fields
    )

    message = parse_header(raw)

    assert (message.serial, message.path, message.member) == (9, "/a", "C")
    assert library.unmarshal(message.signature, text, message.endian) == ["hi"]


def test_a_body_above_the_bound_is_skipped_not_held(library: Library) -> None:
    sock, reader, whole, cut = stream()
    data = call_message(library, body=["x" * MAX_BODY]) + call_message(library)
    while data:
        data = data[sock.send(data[:50000]) :]
        reader.run()
    reader.run()

    assert [message.body for message in cut] == [b""]
    assert len(whole) == 1
    sock.close()
    reader._sock.close()


@pytest.mark.parametrize("body", [b"", b"\0", b"\xff" * 64, b"\4\0\0\0ab"])
def test_a_body_that_does_not_parse_is_a_value_error(library: Library, body: bytes) -> None:
    with pytest.raises(ValueError, match="body of"):
        library.unmarshal("sta{sv}", body, "<")


def test_glib_is_not_imported_for_nothing(library: Library, tmp_path: Path) -> None:
    """Where python3-gi is installed, both libraries would take it in."""
    (tmp_path / "gi").mkdir()
    (tmp_path / "gi" / "__init__.py").write_text("raise SystemExit('gi was imported')")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from memd.bus.library import load; "
        f"load({library.package!r}); assert 'gi' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


def test_foreign_signatures_do_not_stay(library: Library) -> None:
    for number in range(4000):
        name = "(" + "".join("iuxt"[number >> (2 * digit) & 3] for digit in range(6)) * 42 + ")"
        body = struct.pack("<I", 1) + b"k\0\0\0"  # a dict entry's key, as far as it matters: it need not parse
        with pytest.raises(ValueError, match="body of"):
            library.unmarshal(name, body, "<")
        assert library.cached_signatures() <= MAX_SIGNATURES


def test_writer_closes_each_fd_once(library: Library) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    writer = Writer(ours)
    first, second, third = os.memfd_create("1"), os.memfd_create("2"), os.memfd_create("3")
    writer.put(b"a", [first])
    assert writer.flush()
    assert not is_open(first)
    writer.put(bytes(1 << 20), [second])
    writer.put(b"b", [third])
    assert not writer.flush()
    assert (is_open(second), is_open(third), writer.fds) == (False, True, 1)  # the first byte took it along

    writer.close()

    assert (is_open(third), writer.fds, len(writer)) == (False, 0, 0)
    for sock in (ours, theirs):
        sock.close()
