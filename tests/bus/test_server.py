"""The name, the credentials of callers, what is told to everybody, and who may what: in this process, on a real bus."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from memd import config, ini
from memd.bus import dispatch
from memd.bus.calls import BUS, CallFailed
from memd.bus.connection import Connection
from memd.bus.credentials import Credentials
from memd.bus.dispatch import FEW, MAX_PER_SENDER
from memd.bus.library import Library, load
from memd.bus.server import NameTaken, Server
from memd.bus.services import Services
from memd.bus.wire import Received
from memd.config_dropin import DropIn
from memd.early import ZramOutcome
from memd.errors import Failed, LimitsExceeded
from memd.kernel.root import Root
from memd.model import Event, Grant, Level
from memd.names import BUS_NAME, MANAGER
from memd.service.broker import Broker
from memd.service.heaps import Heaps
from memd.service.jobs import Jobs
from memd.service.owners import Owners
from memd.service.pressurefds import PressureFds
from memd.service.status import Status
from memd.service.watch import Watch
from memd.service.zramlive import ZramLive
from tests.bus.buses import Bus, dbus_daemon
from tests.bus.daemon import REPOSITORY, Daemon, call, running

MEMINFO = "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\nMemFree: 2000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, or is one")


def services(root: Root, server: Server) -> Services:
    """The real ones, over a machine in a directory."""

    def tell(_: Event) -> None:
        return

    settings = config.build(ini.read(root, None), 4 << 30)
    heaps = Heaps(root, True, {}, ())
    watch = Watch(root, settings.pressure, tell, server.pressure_changed)
    broker = Broker(root, settings, heaps, tell, lambda: watch.level)
    owners = Owners(Root())
    status = Status(root, ZramOutcome(state="off", reason="a test"), heaps, broker, watch, owners)

    async def reload() -> dict[str, object]:
        return {"message": "reloaded"}

    jobs = Jobs(server.job_changed)
    live = ZramLive(root, DropIn(root, None), jobs, lambda: watch.level, tell)
    return Services(owners, broker, heaps, watch, PressureFds(), status, jobs, live, reload, "0", ("Allocate",))


@pytest.fixture
def machine(put: Callable[[str, str], None], root: Root) -> Root:
    put("proc/meminfo", MEMINFO)
    return root


@asynccontextmanager
async def serving(bus: Bus, library: Library, machine: Root) -> AsyncIterator[Server]:
    server = Server(library)
    bundle = services(machine, server)
    await server.start(bus.address, bundle)
    try:
        yield server
    finally:
        await server.stop()
        await bundle.broker.close()


async def ask(client: Connection, member: str, signature: str = "a{sv}", *body: Any) -> list[Any]:
    reply = await client.call(BUS_NAME, "/org/memd1", MANAGER, member, signature, body or ({},))
    reply.close()
    return client.arguments(reply)


async def test_owns_the_name_until_it_stops(bus: Bus, library: Library, machine: Root) -> None:
    client = await Connection.connect(bus.address, library=library)
    async with serving(bus, library, machine):
        assert (await ask(client, "GetStatus"))[0]["zram_reason"].value == "a test"

    assert await client.call_bus("NameHasOwner", "s", [BUS_NAME]) == [False]
    client.close()


async def test_the_end_of_the_bus_has_a_reason(bus: Bus, library: Library, machine: Root) -> None:
    async with serving(bus, library, machine) as server:
        bus.process.kill()
        assert "the bus" in await server.run_until_disconnected()
        server.pressure_changed(Level.LOW, {})  # told to nobody


async def test_a_second_memd_says_who_is_there(bus: Bus, library: Library, machine: Root) -> None:
    second = Server(library)
    bundle = services(machine, second)
    async with serving(bus, library, machine):
        with pytest.raises(NameTaken, match=rf"belongs to :1\.\d+, process {os.getpid()} \(/.*python"):
            await second.start(bus.address, bundle)

    second.pressure_changed(Level.LOW, {})
    await second.stop()
    await bundle.broker.close()


def test_a_second_process_ends_with_what_to_do(steady: Daemon) -> None:
    configuration = str(steady.log.with_name("memd.conf"))
    command = [sys.executable, "-m", "memd", "--bus", steady.address, "--config", configuration]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)

    assert done.returncode == 1
    assert f"process {steady.process.pid} (" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_bus_that_does_not_let_us_names_its_policy(library: Library, machine: Root, tmp_path: Path) -> None:
    with dbus_daemon(tmp_path, policy="") as bus:
        server = Server(library)
        with pytest.raises(ConnectionError, match=r"org\.memd1\.conf"):
            await server.start(bus.address, services(machine, server))


async def test_pressure_is_told_twice(bus: Bus, library: Library, machine: Root) -> None:
    """By its own signal with facts, and as a change of the property."""
    told: list[tuple[str, list[Any]]] = []
    client = await Connection.connect(bus.address, library=library)
    client.on_signal = lambda one: told.append((one.member, client.arguments(one))) if one.interface != BUS else None
    await client.call_bus("AddMatch", "s", [f"type='signal',sender='{BUS_NAME}'"])
    async with serving(bus, library, machine) as server:
        server.pressure_changed(Level.MEDIUM, {"some_avg10": 1.5, "available": 3, "swap_fill": {"fraction": 0.5}})
        server.cma_failed("linux,cma", 16, {})
        await server._connection.call_bus("GetId")  # type: ignore[union-attr]
    await client.call_bus("GetId")
    client.close()

    assert [member for member, _ in told] == ["PressureChanged", "PropertiesChanged", "CmaAllocationFailed"]
    level, facts = told[0][1]
    assert (level, facts["available"].signature, facts["swap_fill"].value["fraction"].value) == ("medium", "t", 0.5)
    assert told[1][1][1]["PressureLevel"].value == "medium"
    assert told[2][1] == ["linux,cma", 16, {}]


async def test_callers_are_asked_about_once_and_forgotten(bus: Bus, library: Library, machine: Root) -> None:
    asked: list[str] = []
    async with serving(bus, library, machine) as server:
        credentials = server._credentials
        assert credentials
        connection = credentials._connection
        call = connection.call

        async def counted(*arguments: Any) -> Received:
            asked.append(arguments[3])
            return await call(*arguments)

        vars(connection)["call"] = counted
        client = await Connection.connect(bus.address, library=library)
        for _ in range(3):
            await asyncio.gather(*(ask(client, "ListBuffers") for _ in range(5)))
        assert asked == ["GetConnectionCredentials"]
        assert len(credentials._callers) == 1

        # A stranger says that the client has gone: the bus would have said so itself.
        client._send(4, destination=BUS_NAME, path="/org/freedesktop/DBus", interface=BUS, member="NameOwnerChanged",
                     signature="sss", body=[client.unique_name, client.unique_name, ""])  # fmt: skip
        await ask(client, "ListBuffers")
        assert asked == ["GetConnectionCredentials"]

        client.close()
        while len(credentials._callers):
            await asyncio.sleep(0.001)


async def test_a_caller_who_has_gone(daemon_bus: Bus, library: Library) -> None:
    connection = await Connection.connect(daemon_bus.address, library=library)
    credentials = Credentials(connection, Owners(Root()))

    with pytest.raises(Failed, match=r":1\.99"):
        await credentials.caller(":1.99")

    assert len(credentials._callers) == 0
    connection.close()


@as_root
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["Reload", "a{sv}", "0"], "Access denied"),
        (["WriteOff", "ta{sv}", "1", "0"], "Access denied"),
        (["Allocate", "sta{sv}", "simulated", "4096", "0"], "no [Allow] rule"),
        (["CanAllocate", "sta{sv}", "simulated", "4096", "1", "uid", "u", "0"], "Access denied"),
        (["CanAllocate", "sta{sv}", "simulated", "4096", "0"], None),
        (["GetStatus", "a{sv}", "0"], None),
        (["ListBuffers", "a{sv}", "0"], None),
    ],
)
def test_who_may_what(steady: Daemon, arguments: list[str], error: str | None) -> None:
    """As an unprivileged user, through the bus policy that memd ships."""
    command = ["busctl", f"--address={steady.address}", "call", BUS_NAME, "/org/memd1", MANAGER, *arguments]
    done = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True)

    assert (done.returncode == 0) is (error is None), done.stderr
    if error:
        assert error in done.stderr


@as_root
def test_only_root_may_be_memd(steady: Daemon) -> None:
    command = ["busctl", f"--address={steady.address}", "call", BUS, "/", BUS, "RequestName", "su", "org.memd1", "2"]
    done = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True)

    assert done.returncode != 0
    assert "Access denied" in done.stderr


@as_root
def test_root_asks_for_others(steady: Daemon) -> None:
    """By uid without a unit; by pid with all that is known of the process, here this one."""
    with steady.client() as client:
        own, nobodys, mine = (
            client.call(BUS_NAME, "/org/memd1", MANAGER, "CanAllocate", "sta{sv}", ["simulated", 4096, options]).body
            for options in (
                {},
                {"uid": client.library.Variant("u", NOBODY)},
                {"pid": client.library.Variant("u", os.getpid())},
            )
        )

    assert own == mine
    assert own[0] is (os.geteuid() == 0)
    assert nobodys[0] is False
    facts = {key: value.value for key, value in nobodys[1].items()}
    assert (facts["owner"], facts["error"]) == (f"uid:{NOBODY}", "org.memd1.Error.NotAllowed")
    assert facts["why"].startswith("no rule")


@as_root
def test_reload_by_root(steady: Daemon) -> None:
    with steady.client() as client:
        reply = client.call(BUS_NAME, "/org/memd1", MANAGER, "Reload", "a{sv}", [{}])

    assert reply.error_name == ""
    assert "reloaded" in reply.body[0]["message"].value


@as_root
def test_reload_refuses_whole_and_says_where(daemon_bus: Bus, tmp_path: Path) -> None:
    directory = tmp_path / "memd"
    directory.mkdir()
    with running(daemon_bus.address, directory) as daemon, daemon.client() as client:
        (directory / "memd.conf").write_text("[Lending]\nMaxBufferSize=5\n")
        reply = client.call(BUS_NAME, "/org/memd1", MANAGER, "Reload", "a{sv}", [{}])
        held = client.call(BUS_NAME, "/org/memd1", MANAGER, "Allocate", "sta{sv}", ["simulated", 4096, {}])
        held.close()

    assert reply.error_name == "org.memd1.Error.Failed"
    assert "memd.conf:2" in reply.body[0]
    assert held.error_name == ""


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Allocations take until this is set, and then are refused."""
    release = asyncio.Event()

    async def allocate(*_: object) -> list[Grant]:
        await release.wait()
        raise Failed("released")

    monkeypatch.setattr(Broker, "allocate", allocate)
    return release


async def refused(client: Connection) -> str:
    """The name of the error that Allocate ends with."""
    with pytest.raises(CallFailed) as caught:
        await ask(client, "Allocate", "sta{sv}", "simulated", 4096, {})
    return caught.value.name


async def outcomes(tasks: Sequence[asyncio.Task[str]], count: int) -> list[str]:
    """Errors of those that have ended, when as many have."""
    while len(ended := [task.result() for task in tasks if task.done()]) < count:
        await asyncio.sleep(0.001)
    return ended


async def test_calls_in_flight_are_bounded(
    broker_bus: Bus, machine: Root, endless: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbus-daemon would bound them itself. Whoever has few is let in although others have many."""
    library = load()
    greedy, modest, other = [await Connection.connect(broker_bus.address, library=library) for _ in range(3)]
    async with serving(broker_bus, library, machine), asyncio.TaskGroup() as group:
        many = [group.create_task(refused(greedy)) for _ in range(200)]
        assert await outcomes(many, 200 - MAX_PER_SENDER) == [LimitsExceeded.bus_name] * (200 - MAX_PER_SENDER)

        monkeypatch.setattr(dispatch, "MAX_CALLS", MAX_PER_SENDER)
        few = [group.create_task(refused(modest)) for _ in range(FEW + 3)]
        assert await outcomes(few, 3) == [LimitsExceeded.bus_name] * 3
        assert (await ask(other, "GetStatus"))[0]
        assert sum(task.done() for task in many + few) == 200 - MAX_PER_SENDER + 3

        endless.set()
        assert (await outcomes(many + few, 200 + FEW + 3)).count(Failed.bus_name) == MAX_PER_SENDER + FEW
    for client in (greedy, modest, other):
        client.close()


@as_root
def test_write_off_by_root(steady: Daemon) -> None:
    with steady.client() as client:
        lent = client.call(BUS_NAME, "/org/memd1", MANAGER, "Allocate", "sta{sv}", ["simulated", 4096, {}])
        number = lent.body[1]
        reply = client.call(BUS_NAME, "/org/memd1", MANAGER, "WriteOff", "ta{sv}", [number, {}])
        rows = client.call(BUS_NAME, "/org/memd1", MANAGER, "ListBuffers", "a{sv}", [{}]).body[0]
        lent.close()
        gone = client.call(BUS_NAME, "/org/memd1", MANAGER, "WriteOff", "ta{sv}", [number, {}])

    assert (reply.error_name, reply.body[0]["size"].value) == ("", 4096)
    assert "written-off" in [row["state"].value for row in rows if row["id"].value == number]
    assert gone.error_name == "org.memd1.Error.NoSuchBuffer"


@as_root
def test_a_status_tells_each_owner_of_himself(steady: Daemon) -> None:
    """An unprivileged user is refused once, which his status and root's tell; what root has is not for him to see."""
    command = ["busctl", f"--address={steady.address}", "--json=short", "call", BUS_NAME, "/org/memd1", MANAGER]
    for arguments in (["Allocate", "sta{sv}", "simulated", "4096", "0"], ["GetStatus", "a{sv}", "0"]):
        done = subprocess.run(
            [*command, *arguments], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True
        )
    with steady.client() as client:
        buffer = call(client, "Allocate", "sta{sv}", "simulated", 4096, {})
        all_owners = call(client, "GetStatus").body[0]["owners"].value
        buffer.close()

    (own,) = json.loads(done.stdout)["data"][0]["owners"]["data"]
    assert (own["owner"]["data"], own["lent_buffers"]["data"]) == (f"uid:{NOBODY}", 0)
    assert "no [Allow] rule" in own["last_refusal"]["data"]
    assert {row["owner"].value for row in all_owners} >= {f"uid:{NOBODY}", "uid:0"}
