"""Those who act on pressure, on real buses: GLib's own monitor, OpenPressureFd, and systemd's place taken by a program of the test."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from memd.bus import lowmemory, systemd
from memd.bus.connection import Connection
from memd.bus.library import load
from memd.bus.server import Server
from memd.bus.wire import Received
from memd.client import AsyncMemd
from memd.client.blocking import Memd
from memd.errors import Failed, InvalidArgs
from memd.kernel.root import Root
from memd.model import Level
from memd.service.pressurefds import EACH
from tests.bus.buses import Bus, dbus_daemon
from tests.bus.daemon import REPOSITORY, Daemon, call, running
from tests.bus.raw import Raw
from tests.bus.test_server import services

PYTHON = "/usr/bin/python3"  # the system's: gi is no package that pip could build here
POLICY = '<policy context="default"><allow own="*"/><allow send_destination="*"/></policy>'
MEMINFO = "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\nMemFree: 2000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
has_gi = pytest.mark.skipif(
    subprocess.run([PYTHON, "-c", "from gi.repository import Gio; Gio.MemoryMonitor"], capture_output=True).returncode
    != 0,
    reason="no python3-gi with GLib 2.64 or newer on this machine",
)


@pytest.fixture
async def server(daemon_bus: Bus, root: Root, put: object) -> AsyncIterator[Server]:
    (Path(root.directory) / "proc").mkdir()
    (Path(root.directory) / "proc/meminfo").write_text(MEMINFO)
    one = Server(load())
    bundle = services(root, one)
    await one.start(daemon_bus.address, bundle)
    yield one
    await one.stop()
    await bundle.broker.close()


async def listening(address: str, last: int) -> asyncio.subprocess.Process:
    """GLib's monitor in a program of its own; return when it has subscribed."""
    script = Path(__file__).with_name("glib_monitor.py")
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address, "GIO_USE_MEMORY_MONITOR": "dbus"}
    return await asyncio.create_subprocess_exec(
        PYTHON, str(script), str(last), env=environment, stdout=asyncio.subprocess.PIPE
    )


@has_gi
async def test_glib_hears_memd_as_it_would_low_memory_monitor(daemon_bus: Bus, server: Server) -> None:
    assert await server.warn(True) == ""
    program = await listening(daemon_bus.address, 255)
    assert program.stdout
    assert (await asyncio.wait_for(program.stdout.readline(), 20)).strip() == b"GMemoryMonitorDBus"
    first = asyncio.ensure_future(program.stdout.readline())
    while not first.done():  # it subscribes after it has made the monitor, and nothing tells when
        server.low_memory(50)
        await asyncio.wait({first}, timeout=0.1)
    server.low_memory(100)
    server.low_memory(255)
    out, _ = await asyncio.wait_for(program.communicate(), 20)
    assert first.result() == b"50\n"
    assert out.split()[-2:] == [b"100", b"255"]
    assert program.returncode == 0


async def test_the_signal_is_what_low_memory_monitor_sends(daemon_bus: Bus, server: Server) -> None:
    heard: list[Received] = []
    client = await Connection.connect(daemon_bus.address, on_signal=heard.append)
    await client.call_bus("AddMatch", "s", [f"type='signal',sender='{lowmemory.NAME}',interface='{lowmemory.NAME}'"])
    server.low_memory(50)  # nobody's while the name is not memd's
    await server.warn(True)
    server.low_memory(100)
    await server.warn(False)
    server.low_memory(255)
    (has,) = await client.call_bus("NameHasOwner", "s", [lowmemory.NAME])

    heard = [one for one in heard if one.interface == lowmemory.NAME]
    assert [(one.path, one.member, one.signature) for one in heard] == [(lowmemory.PATH, "LowMemoryWarning", "y")]
    assert client.arguments(heard[0]) == [100]
    assert has is False
    client.close()


async def test_it_can_be_looked_at(daemon_bus: Bus, server: Server) -> None:
    await server.warn(True)
    client = await Connection.connect(daemon_bus.address)
    reply = await client.call(lowmemory.NAME, lowmemory.PATH, "org.freedesktop.DBus.Introspectable", "Introspect")
    (text,) = client.arguments(reply)
    assert '<signal name="LowMemoryWarning">' in text
    reply = await client.call(lowmemory.NAME, "/org", "org.freedesktop.DBus.Introspectable", "Introspect")
    assert 'node name="freedesktop"' in client.arguments(reply)[0]
    client.close()


async def test_a_name_that_is_taken_is_reported_and_not_queued_for(daemon_bus: Bus, server: Server) -> None:
    other = await Connection.connect(daemon_bus.address)
    await other.call_bus("RequestName", "su", [lowmemory.NAME, 0])
    reason = await server.warn(True)
    (queue,) = await other.call_bus("ListQueuedOwners", "s", [lowmemory.NAME])

    assert reason.startswith(f"{lowmemory.NAME} is not memd's: {other.unique_name}, process {os.getpid()} (")
    assert reason.endswith("has it, and programs hear that one; stop it, then reload memd")
    assert queue == [other.unique_name]
    await other.call_bus("ReleaseName", "s", [lowmemory.NAME])
    assert await server.warn(True) == "", "a reload takes it"
    assert await server.warn(True) == "", "and another changes nothing"
    other.close()


async def test_a_bus_that_does_not_allow_it_is_reported(tmp_path: Path, root: Root) -> None:
    (Path(root.directory) / "proc").mkdir()
    (Path(root.directory) / "proc/meminfo").write_text(MEMINFO)
    policy = '<policy context="default"><allow own="org.memd1"/></policy>'
    with dbus_daemon(tmp_path, policy) as bus:
        server = Server(load())
        bundle = services(root, server)
        await server.start(bus.address, bundle)
        assert (await server.warn(True)).startswith(f"{lowmemory.NAME} is not memd's: the bus does not allow it (")
        await server.stop()
        await bundle.broker.close()


def test_off_by_configuration_and_taken_by_reload(tmp_path: Path, daemon_bus: Bus) -> None:
    with running(daemon_bus.address, tmp_path) as memd, memd.client() as client:
        assert client.call_bus("NameHasOwner", "s", [lowmemory.NAME]).body == [True]
        with (tmp_path / "memd.conf").open("a") as file:
            file.write("[Pressure]\nLowMemoryMonitor=no\n")
        assert call(client, "Reload").error_name == ""
        assert client.call_bus("NameHasOwner", "s", [lowmemory.NAME]).body == [False]
        with Raw.connect(daemon_bus.address) as other:
            other.call_bus("RequestName", "su", [lowmemory.NAME, 0])
            text = (tmp_path / "memd.conf").read_text()
            (tmp_path / "memd.conf").write_text(text.replace("Monitor=no", "Monitor=yes"))
            assert call(client, "Reload").error_name == ""
            missing = call(client, "GetStatus").body[0]["missing"].value
            assert [line for line in missing if line.startswith(f"{lowmemory.NAME} is not memd's: ")]


def test_open_pressure_fd(steady: Daemon) -> None:
    before = steady.fds()
    with steady.client() as client:
        answers = [call(client, "OpenPressureFd", "sa{sv}", "medium", {}) for _ in range(EACH)]
        assert [answer.error_name for answer in answers] == [""] * EACH
        assert {answer.body[1]["level"].value for answer in answers} <= {"none", "low", "medium", "critical"}
        ends = [socket.socket(fileno=fd) for answer in answers for fd in answer.fds]
        assert len(ends) == EACH
        refused = call(client, "OpenPressureFd", "sa{sv}", "medium", {})
        assert refused.error_name == "org.memd1.Error.LimitsExceeded"
        assert "pressure fds open, and 8 is the most" in refused.body[0]
        for end in ends:
            end.close()
    assert steady.settles_at(before)


@pytest.mark.parametrize("level", ["", "none", "MEDIUM", "high", "low ", "\x1b[31m" * 20])
def test_a_level_that_is_none(steady: Daemon, level: str) -> None:
    with steady.client() as client:
        answer = call(client, "OpenPressureFd", "sa{sv}", level, {})

    assert answer.error_name == "org.freedesktop.DBus.Error.InvalidArgs"
    assert answer.body[0].endswith("is no level to wait for; say low, medium, critical")


def test_an_option_is_an_error(steady: Daemon) -> None:
    with steady.client() as client:
        answer = call(client, "OpenPressureFd", "sa{sv}", "low", {"x": client.library.Variant("b", True)})

    assert answer.error_name == "org.freedesktop.DBus.Error.InvalidArgs"


async def test_a_unit_is_started_through_systemd(tmp_path: Path) -> None:
    """A program of the test is systemd here; the virtual machines have the real one."""
    asked: list[list[object]] = []
    with dbus_daemon(tmp_path, POLICY) as bus:
        stand_in = await Connection.connect(bus.address)

        def answer(message: Received) -> None:
            asked.append([message.path, message.interface, message.member, *stand_in.arguments(message)])
            if "lost" in str(asked[-1]):
                stand_in.error(message, "org.freedesktop.systemd1.NoSuchUnit", "Unit lost.service not found.")
            else:
                stand_in.reply(message, "o", ["/org/freedesktop/systemd1/job/1"])

        stand_in.on_call = answer
        await stand_in.call_bus("RequestName", "su", [systemd.SYSTEMD, 0])
        memd = await Connection.connect(bus.address)
        await systemd.start_unit(memd, "calm.service")
        with pytest.raises(Failed, match=r"^Unit lost\.service not found\.$"):
            await systemd.start_unit(memd, "lost.service")
        stand_in.close()
        await asyncio.sleep(0.05)
        with pytest.raises(Failed, match=r"org\.freedesktop\.systemd1"):
            await systemd.start_unit(memd, "calm.service")
        memd.close()

    assert asked[0] == [systemd.PATH, systemd.MANAGER, "StartUnit", "calm.service", "replace"]


async def test_without_a_bus_no_unit() -> None:
    with pytest.raises(Failed, match="memd is on no bus"):
        await Server(load()).start_unit("calm.service")


async def test_levels_reach_the_fd_of_a_caller(daemon_bus: Bus, root: Root) -> None:
    (Path(root.directory) / "proc").mkdir()
    (Path(root.directory) / "proc/meminfo").write_text(MEMINFO)
    server = Server(load())
    bundle = services(root, server)
    await server.start(daemon_bus.address, bundle)
    client = await Connection.connect(daemon_bus.address)
    reply = await client.call(
        "org.memd1", "/org/memd1", "org.memd1.Manager", "OpenPressureFd", "sa{sv}", ["critical", {}]
    )
    with socket.socket(fileno=reply.fds[0]) as end:
        bundle.pressure_fds.moved(Level.CRITICAL, Level.NONE)
        bundle.pressure_fds.moved(Level.MEDIUM, Level.CRITICAL)
        end.settimeout(5)
        assert (end.recv(9), end.recv(9)) == (b"\3", b"\2")
    client.close()
    await asyncio.sleep(0.05)
    bundle.pressure_fds.close()
    await server.stop()
    await bundle.broker.close()


def test_the_client_opens_one(steady: Daemon) -> None:
    with Memd(steady.address) as memd:
        end, level = memd.open_pressure_fd("critical")
        with end:
            assert (end.type, level in {"none", "low", "medium", "critical"}) == (socket.SOCK_SEQPACKET, True)
        with pytest.raises(InvalidArgs, match="is no level to wait for"):
            memd.open_pressure_fd("none")


async def monitoring(address: str, *words: str) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "memd.cli", "--bus", address, "monitor", *words)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY)


async def test_memctl_monitor_follows_all_that_memd_tells_and_nobody_else(daemon_bus: Bus, server: Server) -> None:
    """In a pipe: a line for each event, and memd is asked for no status."""
    liar = await Connection.connect(daemon_bus.address)
    program = await monitoring(daemon_bus.address, "--json")
    assert program.stdout
    first = asyncio.ensure_future(program.stdout.readline())
    while not first.done():  # it subscribes in its own time
        liar.signal("/org/memd1", "org.memd1.Manager", "PressureChanged", "sa{sv}", ["forged", {}])
        server.pressure_changed(Level.LOW, {"level": "low", "previous": "none", "available": 5})
        await asyncio.wait({first}, timeout=0.1)
    server.unit_pressure_changed("a.service", Level.MEDIUM, {"previous": "none"})
    server.cma_state_changed("reserved", "nearly-full", {"size": 64})
    server.cma_failed("reserved", 3, {"size": 12288, "comm": "camd", "pid": 7})
    told = [json.loads(first.result())]
    while told[-1]["event"] != "CmaAllocationFailed":
        told.append(json.loads(await asyncio.wait_for(program.stdout.readline(), 20)))
    program.terminate()
    await program.wait()
    liar.close()

    assert {one["level"] for one in told if one["event"] == "PressureChanged"} == {"low"}
    assert {key: told[0][key] for key in ("previous", "available")} == {"previous": "none", "available": 5}
    assert [one["event"] for one in told[-3:]] == ["UnitPressureChanged", "CmaStateChanged", "CmaAllocationFailed"]
    assert (told[-3]["unit"], told[-2]["state"], told[-1]["pages"], told[-1]["comm"]) == (
        "a.service",
        "nearly-full",
        3,
        "camd",
    )


async def test_memctl_monitor_draws_on_a_terminal(daemon_bus: Bus, server: Server) -> None:
    ours, theirs = os.openpty()
    command = (sys.executable, "-m", "memd.cli", "--bus", daemon_bus.address, "monitor", "--interval", "200ms")
    environment = {**os.environ, "COLUMNS": "70", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    program = await asyncio.create_subprocess_exec(*command, stdout=theirs, cwd=REPOSITORY, env=environment)
    os.close(theirs)
    drawn = ""
    while "pressure is medium" not in drawn or drawn.count("memory pressure is") < 3:
        server.pressure_changed(Level.MEDIUM, {"level": "medium", "previous": "none"})
        drawn += (await asyncio.to_thread(os.read, ours, 65536)).decode(errors="replace")
    program.terminate()
    await program.wait()
    os.close(ours)

    assert "RAM used" in drawn
    assert "▂" in drawn or "▃" in drawn


class Follower:
    """A client's `pressure_levels`, one level at a time, whichever client it is."""

    def __init__(self, address: str, *, blocking: bool) -> None:
        self._memd: Memd | AsyncMemd = Memd(address) if blocking else AsyncMemd(address)
        self._levels: Any = None

    async def next(self) -> str:
        if isinstance(self._memd, Memd):
            self._levels = self._levels or self._memd.pressure_levels("low")
            return str(await asyncio.to_thread(next, self._levels))
        if not self._levels:
            await self._memd.open()
            self._levels = self._memd.pressure_levels("low")
        return str(await asyncio.wait_for(anext(self._levels), 20))

    async def close(self) -> None:
        if isinstance(self._memd, Memd):
            self._levels.close()
        else:
            await self._levels.aclose()
        self._memd.close()


@pytest.mark.parametrize("blocking", [True, False])
async def test_levels_go_on_after_a_restart(daemon_bus: Bus, root: Root, blocking: bool) -> None:
    """The fd ends with memd; there is another from the next one, and what has changed meanwhile is told."""
    (Path(root.directory) / "proc").mkdir()
    (Path(root.directory) / "proc/meminfo").write_text(MEMINFO)
    follower = await asyncio.to_thread(Follower, daemon_bus.address, blocking=blocking)
    for told in (["none", "low"], ["none", "critical"]):
        server = Server(load())
        bundle = services(root, server)
        waiting = asyncio.ensure_future(follower.next())
        await asyncio.sleep(0.1)  # nobody is there yet, and it starts none
        assert not waiting.done()
        await server.start(daemon_bus.address, bundle)
        assert await waiting == told[0]
        bundle.pressure_fds.moved(Level.LOW if told[1] == "low" else Level.CRITICAL, Level.NONE)
        assert await follower.next() == told[1]
        await server.stop()
        bundle.pressure_fds.close()
        await bundle.broker.close()
    await follower.close()
