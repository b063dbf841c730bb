"""Sockets on which memd says one byte: to whom, how many, and how each ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from memd.errors import LimitsExceeded
from memd.model import Level
from memd.service import ears as ears_module
from memd.service import pressurefds, pressuresockets
from memd.service.ears import Ears
from memd.service.pressurefds import PressureFds
from memd.service.pressuresockets import PressureSockets

NONE, LOW, MEDIUM, CRITICAL = Level


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0.002)


@pytest.fixture
def fds() -> Iterator[PressureFds]:
    pressure_fds = PressureFds()
    yield pressure_fds
    assert len(pressure_fds) == 0, "the test ends with them closed"


async def test_each_change_from_the_level_on_is_a_byte_relief_included(fds: PressureFds) -> None:
    with socket.socket(fileno=fds.open("uid:1", MEDIUM)) as end:
        story = [(LOW, NONE), (MEDIUM, LOW), (CRITICAL, MEDIUM), (MEDIUM, CRITICAL), (LOW, MEDIUM), (NONE, LOW)]
        for level, previous in story:
            fds.moved(level, previous)
        told = [end.recv(16) for _ in range(4)]
        end.settimeout(0)
        with pytest.raises(BlockingIOError):
            end.recv(1)
        fds.close()

        assert told == [bytes([MEDIUM]), bytes([CRITICAL]), bytes([MEDIUM]), bytes([LOW])]
        assert end.recv(1) == b"", "memd can end it"


async def test_an_owner_gets_few_and_others_still_get_theirs(fds: PressureFds) -> None:
    ends = [fds.open("uid:1", LOW) for _ in range(pressurefds.EACH)]
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(LimitsExceeded, match=r"uid:1 has 8 pressure fds open, and 8 is the most; close one first"):
        fds.open("uid:1", LOW)
    assert len(os.listdir("/proc/self/fd")) == before
    ends.append(fds.open("uid:2", LOW))
    for end in ends:
        os.close(end)
    await settle()
    assert len(fds) == 0, "who has closed is forgotten"
    os.close(fds.open("uid:1", LOW))
    await settle()


async def test_all_together_are_bounded() -> None:
    ears = Ears(2, 2, "things")
    pairs = [socket.socketpair() for _ in range(3)]
    ears.add(pairs[0][0], "a", LOW)
    ears.add(pairs[1][0], "b", LOW)
    with pytest.raises(LimitsExceeded, match="the most of all callers together"):
        ears.add(pairs[2][0], "c", LOW)
    assert pairs[2][1].recv(1) == b"", "the one that is refused is closed"
    ears.close()
    for _, end in pairs:
        end.close()


async def test_who_leaves_too_much_unread_is_ended(fds: PressureFds) -> None:
    with socket.socket(fileno=fds.open("uid:1", LOW)) as end:
        for _ in range(5000):
            fds.moved(LOW, NONE)
            if not len(fds):
                break
        assert len(fds) == 0
        while end.recv(1):
            pass


async def test_who_speaks_is_ended_and_fds_that_come_with_it_are_dropped(fds: PressureFds) -> None:
    with socket.socket(fileno=fds.open("uid:1", LOW)) as end:
        held, given = os.pipe()
        socket.send_fds(end, [b"x"], [given])
        os.close(given)
        await settle()
        assert os.read(held, 1) == b"", "nobody has the other end of the pipe any more"
        os.close(held)
        assert len(fds) == 1
        for _ in range(ears_module.PATIENCE // 256 + 1):
            end.send(b"x" * 256)
        await settle()
        assert len(fds) == 0


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path)


def connect(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


async def test_each_socket_hears_its_level_and_above(place: str) -> None:
    sockets = PressureSockets(place)
    assert sockets.start() == ""
    assert sorted(os.listdir(place)) == ["critical", "low", "medium"]
    low, critical = connect(f"{place}/low"), connect(f"{place}/critical")
    await settle()
    low.send(b"some 150000 2000000\0")  # what $MEMORY_PRESSURE_WRITE would have been for the kernel
    await settle()
    sockets.moved(MEDIUM, NONE)
    sockets.stalled(MEDIUM)
    low.settimeout(1)
    assert low.recv(100) == b"\0"
    critical.settimeout(0)
    with pytest.raises(BlockingIOError):
        critical.recv(1)
    sockets.stalled(CRITICAL)
    assert (low.recv(100), critical.recv(100)) == (b"\0", b"\0")
    for _ in range(3000):  # nobody reads, and nobody is ended for it
        sockets.stalled(CRITICAL)
    assert len(sockets) == 2
    sockets.close()
    assert os.listdir(place) == []
    for end in (low, critical):
        end.close()


async def test_a_uid_has_so_many_connections(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressuresockets, "EACH", 2)
    sockets = PressureSockets(place)
    sockets.start()
    ends = [connect(f"{place}/low") for _ in range(3)]
    await settle()
    assert len(sockets) == 2
    ends[2].settimeout(1)
    assert ends[2].recv(1) == b""
    sockets.close()
    for end in ends:
        end.close()


async def test_sockets_of_a_memd_that_was_killed_are_replaced(place: str) -> None:
    first, second = PressureSockets(place), PressureSockets(place)
    first.start()
    assert second.start() == ""
    connect(f"{place}/low").close()
    first.close()
    second.close()


async def test_no_directory_no_sockets() -> None:
    assert pressuresockets.directory(None) is None
    assert pressuresockets.directory("/run/memd:/run/memd/pressure") == "/run/memd/pressure"
    assert PressureSockets(None).start() == ""
    sockets = PressureSockets("/nonexistent")
    assert sockets.start() == "no sockets for $MEMORY_PRESSURE_WATCH in /nonexistent: No such file or directory"
    sockets.close()
