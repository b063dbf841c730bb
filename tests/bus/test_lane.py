"""The lane against the real process: what it gives, what hostile clients get, and how it ends."""

from __future__ import annotations

import array
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memd import lanewire
from memd.bus.lane import PER_OWNER
from memd.client import Memd, NotSupported
from memd.errors import InvalidArgs, MemdError, NoSuchHeap
from tests.bus.buses import dbus_daemon
from tests.bus.daemon import REPOSITORY, Daemon, call, running
from tests.bus.far import receive
from tests.bus.raw import Raw, until

EXAMPLE = REPOSITORY / "dbus/lane-example.c"
ONE = (4096,)
MANY = 3000


@pytest.fixture
def client(steady: Daemon) -> Iterator[Raw]:
    """The daemon has its fds and its threads when this begins, and no fd more when it ends."""
    with steady.client() as raw:
        call(raw, "Allocate", "sta{sv}", "simulated", 4096, {}).close()
        open_lane(raw).close()
        call(raw, "ListBuffers").close()
        assert until(lambda: threads(steady) == threads(steady))
        before = steady.fds()
        yield raw
        assert call(raw, "GetStatus").error_name == ""
        assert steady.settles_at(before)


@pytest.fixture
def lane(client: Raw) -> Iterator[socket.socket]:
    with open_lane(client) as sock:
        yield sock


def threads(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/task"))


def open_lane(client: Raw) -> socket.socket:
    reply = call(client, "OpenLane", "a{sv}", {"version": client.library.Variant("t", 7)})
    assert reply.error_name == "", reply
    assert {key: value.value for key, value in reply.body[1].items()} == {"version": 1, "window": 64, "batch": 64}
    sock = socket.socket(fileno=reply.fds[0])
    sock.settimeout(60)
    return sock


def ask(
    lane: socket.socket, heap: str = "simulated", sizes: tuple[int, ...] = ONE, serial: int = 1
) -> tuple[str, list[tuple[int, int]], list[int]]:
    """(heap, (id, size) of each, fds)."""
    lane.send(lanewire.request(serial, heap, sizes, "test"))
    data, fds = receive(lane)
    got, served, buffers, error = lanewire.parse_reply(data)
    assert got == serial
    if error:
        assert fds == []
        raise error
    assert len(fds) == len(buffers)
    return served, buffers, fds


def one_more(client: Raw) -> bool:
    reply = call(client, "OpenLane")
    reply.close()
    return reply.error_name == ""


def close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def assert_ended(lane: socket.socket) -> None:
    """Whatever replies are still there come first."""
    while True:
        try:
            data, fds = receive(lane)
        except ConnectionResetError:
            return
        close(fds)
        if not data:
            return


def test_a_buffer_is_in_the_books_and_its_label_too(client: Raw, lane: socket.socket) -> None:
    served, [(number, size)], [fd] = ask(lane, sizes=(5000,))
    assert (served, size, os.fstat(fd).st_size) == ("simulated", 8192, 8192)
    [row] = call(client, "ListBuffers").body[0]
    assert (row["id"].value, row["name"].value, row["pid"].value) == (number, "test", os.getpid())

    os.close(fd)
    assert call(client, "ListBuffers").body[0] == []


def test_sixty_four_in_one_message(lane: socket.socket) -> None:
    _, buffers, fds = ask(lane, sizes=tuple(4096 * (1 + number % 3) for number in range(lanewire.BATCH)))

    assert len({os.fstat(fd).st_ino for fd in fds}) == len({number for number, _ in buffers}) == lanewire.BATCH
    assert [os.fstat(fd).st_size for fd in fds] == [size for _, size in buffers]
    close(fds)


def test_a_whole_window_waits_for_who_reads_late(lane: socket.socket) -> None:
    """Of the largest replies that there are."""
    for serial in range(lanewire.WINDOW):
        lane.send(lanewire.request(serial, "simulated", ONE * lanewire.BATCH))
    for serial in range(lanewire.WINDOW):
        data, fds = receive(lane)
        assert lanewire.parse_reply(data)[0] == serial
        assert len(fds) == lanewire.BATCH
        close(fds)


@pytest.mark.parametrize(
    ("heap", "sizes", "error"),
    [
        ("x" * 64, ONE, NoSuchHeap),
        ("", ONE, NoSuchHeap),
        ("simulated", (0,), InvalidArgs),
        ("simulated", (4096, 0), InvalidArgs),
    ],
)
def test_refusals_have_their_names(
    lane: socket.socket, heap: str, sizes: tuple[int, ...], error: type[MemdError]
) -> None:
    with pytest.raises(error):
        ask(lane, heap, sizes)
    close(ask(lane)[2])


def edited(at: int, data: bytes) -> bytes:
    whole = lanewire.request(9, "simulated", ONE)
    return whole[:at] + data + whole[at + len(data) :]


@pytest.mark.parametrize(
    ("packet", "error"),
    [
        (edited(4, b"\2\0"), NotSupported),
        (edited(4, b"\xff\xff"), NotSupported),
        (edited(8, b"\0simulated"), InvalidArgs),
        (edited(8, b"\xff"), InvalidArgs),
        (edited(72, b"\x1b[2J"), InvalidArgs),
        (edited(72, b"a\0b"), InvalidArgs),
        (lanewire.REQUEST.pack(9, 1, 0, b"simulated", b""), InvalidArgs),
    ],
    ids=["kind 2", "kind 65535", "zero in heap", "no ASCII", "no label", "zero in label", "no sizes"],
)
def test_wrong_requests_are_answered(lane: socket.socket, packet: bytes, error: type[MemdError]) -> None:
    lane.send(packet)
    data, fds = receive(lane)

    serial, _, _, told = lanewire.parse_reply(data)
    assert (serial, type(told), fds) == (9, error, [])
    close(ask(lane)[2])


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"x",
        bytes(lanewire.REQUEST.size - 1),
        lanewire.request(1, "simulated", ONE)[:-1],
        lanewire.request(1, "simulated", ONE) + b"x",
        edited(6, struct.pack("=H", 65)),
        edited(6, struct.pack("=H", 65535)),
        b"l\1\0\1" * 40_000,
    ],
    ids=["nothing", "a byte", "short", "a byte less", "a byte more", "65 of them", "65535 of them", "160 KB"],
)
def test_what_is_no_request_ends_the_lane(client: Raw, lane: socket.socket, packet: bytes) -> None:
    lane.send(packet)
    assert_ended(lane)
    with open_lane(client) as another:
        close(ask(another)[2])


def test_who_does_not_read_loses_the_lane_and_what_was_in_it(client: Raw, lane: socket.socket) -> None:
    sent = 0
    try:
        while sent < MANY:
            lane.send(lanewire.request(sent, "simulated", ONE))
            sent += 1
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert sent < MANY
    with open_lane(client) as another:  # the others are served
        close(ask(another)[2])
    lane.close()
    assert until(lambda: call(client, "ListBuffers").body[0] == [])


def test_fds_sent_into_a_lane_go_nowhere(steady: Daemon, lane: socket.socket) -> None:
    before = steady.fds()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 200))]
    for serial in range(50):
        lane.sendmsg([lanewire.request(serial, "simulated", ONE)], rights)
        data, fds = receive(lane)
        assert lanewire.parse_reply(data)[0] == serial
        close(fds)
    assert steady.fds() <= before


def test_few_lanes_for_one_owner(client: Raw) -> None:
    lanes = [open_lane(client) for _ in range(PER_OWNER)]
    try:
        reply = call(client, "OpenLane")
        assert reply.error_name == "org.memd1.Error.LimitsExceeded"
        assert reply.fds == []
        lanes.pop().close()
        assert until(lambda: one_more(client))
    finally:
        for lane in lanes:
            lane.close()


def test_versions(client: Raw) -> None:
    variant = client.library.Variant
    assert call(client, "OpenLane", "a{sv}", {"version": variant("t", 0)}).error_name.endswith("InvalidArgs")
    assert call(client, "OpenLane", "a{sv}", {"speed": variant("t", 9)}).error_name.endswith("InvalidArgs")


def test_a_lane_ends_with_the_process_that_opened_it(steady: Daemon, client: Raw) -> None:
    """Whoever else has the socket: it is the opener's."""
    code = (
        "import socket, sys; from tests.bus.raw import Raw; from tests.bus.test_lane import open_lane\\n"
        f"client = Raw.connect({steady.address!r}); lane = open_lane(client)\\n"
        "socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'x'], [lane.fileno()]); sys.stdin.read(1)"
    ).replace("\\n", "\n")
    here, there = socket.socketpair()
    with here, there:
        opener = subprocess.Popen(
            [sys.executable, "-c", code, str(there.fileno())],
            pass_fds=[there.fileno()],
            stdin=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        _, [fd], _, _ = socket.recv_fds(here, 1, 1)
        with socket.socket(fileno=fd) as lane:
            lane.settimeout(60)
            _, _, fds = ask(lane)
            opener.send_signal(signal.SIGKILL)
            opener.communicate()
            assert_ended(lane)
            os.pwrite(fds[0], b"mine", 0)  # what was borrowed stays
            close(fds)
    assert call(client, "ListBuffers").body[0] == []


def test_twenty_thousand(steady: Daemon, client: Raw) -> None:
    """Four at once, each with a lane of its own, in batches of one and of many."""
    counts = {"one": 1, "two": 1, "three": 16, "four": 64}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bus.lane_borrower", steady.address, name, "5000", str(many)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )
        for name, many in counts.items()
    ]  # fmt: skip
    told = [process.communicate(timeout=300) for process in processes]

    assert [process.returncode for process in processes] == [0] * len(counts), told
    assert sum(int(out) for out, _ in told) >= 20_000
    assert call(client, "ListBuffers").body[0] == []


def test_the_example_in_c(steady: Daemon, client: Raw, tmp_path: Path) -> None:
    program = tmp_path / "lane-example"
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]
    subprocess.run([shutil.which("cc") or "cc", *flags, "-o", program, EXAMPLE, "-lsystemd"], check=True)
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": steady.address}

    done = subprocess.run([program, "simulated", "5000", "3"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" of ")[1] for line in done.stdout.splitlines()] == ["8192 bytes from simulated"] * 3
    done = subprocess.run([program, "nowhere", "5000", "3"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "no heap 'nowhere'; heaps of this machine: simulated\n")


def test_the_library_goes_by_a_lane_and_opens_another_when_memd_is_back(tmp_path: Path) -> None:
    with dbus_daemon(tmp_path) as bus, Memd(bus.address) as memd, Memd(bus.address, lane=False) as plain:
        for _ in range(2):
            with running(bus.address, tmp_path):
                for client in (memd, plain):
                    for size in (1, 5000, 1, 1, 1):
                        with client.allocate("simulated", size) as buffer:
                            assert buffer.size == -(-size // 4096) * 4096
                with pytest.raises(NoSuchHeap):
                    memd.allocate("nowhere", 1)
                assert memd._lane
                assert not plain._lane
                buffers = memd.allocate_many("simulated", [4096] * 64)
                assert len({buffer.id for buffer in buffers}) == len(list(memd.buffers())) == 64
                for buffer in buffers:
                    buffer.close()


def test_the_end_of_memd_ends_lanes(tmp_path: Path) -> None:
    with dbus_daemon(tmp_path) as bus:
        with running(bus.address, tmp_path) as daemon, daemon.client() as client:
            lane = open_lane(client)
            _, _, fds = ask(lane)
        with lane:
            assert_ended(lane)
        close(fds)


def test_a_lane_that_is_not_read_from_is_no_reason_to_wait(steady: Daemon, client: Raw) -> None:
    """memd never blocks on one: there is nothing that it keeps for it."""
    with open_lane(client) as idle, open_lane(client) as busy:
        for serial in range(60):
            idle.send(lanewire.request(serial, "simulated", ONE))
        for _ in range(200):
            close(ask(busy)[2])
        for _ in range(60):
            close(receive(idle)[1])
