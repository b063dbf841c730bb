"""Who calls, as buses tell it: with the process (dbus 1.15.8, dbus-broker 35) and without."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from memd.bus.connection import Connection
from memd.bus.credentials import AT_ONCE, PROCESS, Credentials
from memd.bus.library import Library
from memd.bus.wire import Received
from memd.errors import Failed
from memd.kernel.root import Root
from memd.model import Caller
from memd.service.owners import Owners
from tests.bus.buses import Bus
from tests.conftest import open_fds

Put = Callable[[str, str | bytes], None]


class Newer(Connection):
    """A connection to a bus that tells processes, whichever this one is: where it does not, the test says what it would have said."""

    async def call(self, *arguments: Any) -> Received:
        reply = await super().call(*arguments)
        if arguments[3] == "GetConnectionCredentials" and not reply.fds:
            reply.fds.append(os.pidfd_open(os.getpid()))
        return reply

    def arguments(self, message: Received) -> list[Any]:
        body = super().arguments(message)
        if message.fds:
            body[0].setdefault(PROCESS, self.library.Variant("h", 0))
        return body


@pytest.fixture
async def connection(bus: Bus, library: Library) -> AsyncIterator[Newer]:
    connection = await Newer.connect(bus.address, library=library)
    assert isinstance(connection, Newer)
    yield connection
    connection.close()


class Seen(Owners):
    """Keeps what it was asked; the machine is this one."""

    def __init__(self) -> None:
        super().__init__(Root())
        self.asked: list[tuple[int, int | None]] = []

    def caller(self, name: str, uid: int, gids: Sequence[int] | None, pid: int, pidfd: int | None) -> Caller:
        self.asked.append((pid, pidfd))
        assert pidfd is None or os.fstat(pidfd)
        return super().caller(name, uid, gids, pid, pidfd)


async def test_the_process_is_asked_by_its_pidfd_which_is_then_closed(connection: Newer) -> None:
    owners = Seen()
    before = open_fds()

    caller = await Credentials(connection, owners).caller(connection.unique_name)
    await asyncio.sleep(0)

    assert (caller.uid, caller.pid) == (os.geteuid(), os.getpid())
    [(pid, pidfd)] = owners.asked
    assert pid == os.getpid()
    assert pidfd is not None
    assert open_fds() == before


async def test_a_hundred_at_once_are_asked_about_a_few_at_a_time(
    connection: Newer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbus-daemon drops answers without a word when 64 fds wait for memd, and each answer may bring one."""
    call, asked, most = connection.call, 0, 0

    async def counted(*arguments: Any) -> Received:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        try:
            return await call(*arguments)
        finally:
            asked -= 1

    monkeypatch.setattr(connection, "call", counted)
    credentials = Credentials(connection, Seen())
    pidfds = await asyncio.gather(*(credentials.process(connection.unique_name) for _ in range(100)))
    for pidfd in pidfds:
        os.close(pidfd)

    assert most == AT_ONCE


async def test_the_unit_is_read_of_the_process_that_connected(
    connection: Newer, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Machine(Owners):
        def caller(self, name: str, uid: int, gids: Sequence[int] | None, pid: int, pidfd: int | None) -> Caller:
            put(f"proc/self/fdinfo/{pidfd}", Path(f"/proc/self/fdinfo/{pidfd}").read_text())
            return super().caller(name, uid, gids, pid, pidfd)

    put(f"proc/{os.getpid()}/cgroup", "0::/system.slice/camera.service\n")

    caller = await Credentials(connection, Machine(Root(str(tmp_path)))).caller(connection.unique_name)

    assert (caller.unit, caller.owner) == ("camera.service", "camera.service")


async def test_a_connection_that_outlived_its_process_is_nobodys(connection: Newer) -> None:
    """Its maker may pass the socket on and end: who has it now is not told."""
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        credentials = Credentials(connection, Ended(process.pid))
        with pytest.raises(Failed, match=r"has ended.*connect anew"):
            await credentials.caller(connection.unique_name)

    assert credentials._callers == {}


class Ended(Owners):
    """Whatever process the bus told: this one, which has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(Root())
        self._pid = pid

    def caller(self, name: str, uid: int, gids: Sequence[int] | None, pid: int, pidfd: int | None) -> Caller:
        ended = os.pidfd_open(self._pid)
        try:
            return super().caller(name, uid, gids, pid, ended)
        finally:
            os.close(ended)


async def test_nobody_waits_any_more(connection: Newer) -> None:
    """The pidfd lives as long as the thread reads it, and no longer."""
    before = open_fds()
    credentials = Credentials(connection, Seen())
    asking = asyncio.create_task(credentials.caller(connection.unique_name))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    await credentials.caller(connection.unique_name)
    await asyncio.sleep(0)
    assert open_fds() == before


async def test_whether_the_bus_tells_processes(bus: Bus, library: Library, connection: Newer) -> None:
    """What a bus of this machine says, whichever it is, is what a caller's is read by."""
    owners = Owners(Root())
    plain = await Connection.connect(bus.address, library=library)
    await Credentials(plain, owners).look()
    reply = await plain.call(
        "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetConnectionCredentials", "s", [plain.unique_name]
    )
    told = len(reply.fds) == 1
    reply.close()

    assert owners.bus_tells is told
    await Credentials(connection, owners).look()
    assert owners.bus_tells
    plain.close()
