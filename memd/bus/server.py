"""One time on a bus: from connecting and owning the name to the end of either, with what is told to everybody meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from memd.bus import contract, lowmemory, naming, systemd, variants
from memd.bus.administrators import Administrators
from memd.bus.calls import BUS, CallFailed
from memd.bus.connection import BUS_PATH, Connection
from memd.bus.credentials import Credentials
from memd.bus.dispatch import Dispatcher
from memd.bus.job import path as job_path
from memd.bus.job import properties
from memd.bus.lane import Lanes
from memd.bus.library import Library, load
from memd.bus.manager import Manager
from memd.bus.objects import Object
from memd.bus.services import Services
from memd.bus.standard import OBJECT_MANAGER, PROPERTIES
from memd.bus.tree import Tree
from memd.bus.wire import Received, printable
from memd.errors import Failed
from memd.model import Caller, Level
from memd.names import BUS_NAME, JOB, MANAGER, ROOT_PATH
from memd.service.jobs import RUNNING, Job

# One rule for all clients: a rule for each would meet the bus' cap. Added before anybody can call.
GONE = f"type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}',member='NameOwnerChanged',arg2=''"  # arg2: the new owner
GRACE = 1.0

log = logging.getLogger(__name__)


class NameTaken(Failed):
    """Another memd is there; the message says which process."""


class Server:
    """The org.memd1 of one bus. What is told before `start` or after the end is told to nobody. `named`: the name was owned once."""

    def __init__(self, library: Library | None = None) -> None:
        self._library = library or load()
        self.named = False
        self._connection: Connection | None = None
        self._dispatcher: Dispatcher | None = None
        self._tree: Tree | None = None
        self._credentials: Credentials | None = None
        self._lanes: Lanes | None = None
        self._shown: dict[str, str] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._stale = False
        self._warns = False
        self._followed: dict[str, str] = {}
        self._unit_changed: Callable[[str], None] = lambda _: None

    async def start(self, address: str, services: Services) -> None:
        """Return when the name is owned. ConnectionError (the bus, or its policy), NameTaken."""
        connection = await Connection.connect(address, on_signal=self._signalled, library=self._library)
        self._connection = connection
        try:
            self._credentials = Credentials(connection, services.owners)
            await self._credentials.look()
            self._lanes = Lanes(services.broker)
            administrators = Administrators(connection, self._credentials.caller)
            manager = Manager(services, self._credentials.caller, self._open_lane, administrators.require)
            self._tree = Tree(services, manager, contract.read(), self._library)
            self._dispatcher = Dispatcher(connection, contract.read(), self._tree)
            connection.on_call = self._dispatcher
            self._shown = {where: target.interface for where, target in (await self._tree.changing()).items()}
            await connection.call_bus("AddMatch", "s", [GONE])
            await self._own(connection)
            self.named = True
        except BaseException:
            self._connection = None
            connection.close()
            raise

    async def run_until_disconnected(self) -> str:
        """The reason why the connection ended."""
        assert self._connection, "start() comes first"
        return await asyncio.shield(self._connection.closed)

    async def stop(self) -> None:
        """Give the name back, end what runs, let replies leave; a second at the most for each."""
        connection, self._connection = self._connection, None
        if connection is None or self._dispatcher is None:
            return
        if self._refreshing:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        try:
            async with asyncio.timeout(GRACE):
                await connection.call_bus("ReleaseName", "s", [BUS_NAME])
                await self._dispatcher.finish(GRACE / 2)
                await connection.drain()
        except (TimeoutError, ConnectionError, CallFailed) as error:
            log.warning("the bus was left in a hurry: %s", error or type(error).__name__)
        await self._dispatcher.finish(0)
        if self._lanes:
            await self._lanes.close()
        connection.close()

    def rules_changed(self) -> None:
        """Lanes whose owner may have nothing any more end."""
        if self._lanes:
            self._lanes.configure()

    async def _open_lane(self, caller: Caller, sender: str) -> int:
        assert self._lanes
        assert self._credentials
        return self._lanes.open(caller, await self._credentials.process(sender))

    # What is told to everybody

    def pressure_changed(self, level: Level, facts: Mapping[str, object]) -> None:
        told = variants.dictionary(self._library, facts)
        self._signal(ROOT_PATH, MANAGER, "PressureChanged", "sa{sv}", [str(level), told])
        changed = variants.dictionary(self._library, {"PressureLevel": str(level)})
        self._signal(ROOT_PATH, PROPERTIES, "PropertiesChanged", "sa{sv}as", [MANAGER, changed, []])

    def cma_failed(self, region: str, pages: int, facts: Mapping[str, object]) -> None:
        told = variants.dictionary(self._library, facts)
        self._signal(ROOT_PATH, MANAGER, "CmaAllocationFailed", "sta{sv}", [printable(region), pages, told])

    def cma_state_changed(self, region: str, state: str, facts: Mapping[str, object]) -> None:
        told = variants.dictionary(self._library, facts)
        self._signal(ROOT_PATH, MANAGER, "CmaStateChanged", "ssa{sv}", [printable(region), state, told])

    def low_memory(self, level: int) -> None:
        """LowMemoryWarning, while memd has that name."""
        if self._warns:
            self._signal(lowmemory.PATH, lowmemory.NAME, lowmemory.SIGNAL, "y", [level])

    async def warn(self, wanted: bool) -> str:  # noqa: FBT001 (a setting, on or off)
        """Have the name of low-memory-monitor from now on, or not. Why memd has it not though it is wanted; "" where all is well."""
        assert self._connection, "start() comes first"
        if not wanted:
            if self._warns:
                self._warns = False
                await lowmemory.give_back(self._connection)
            return ""
        reason = await lowmemory.own(self._connection)
        self._warns = not reason
        return reason

    async def start_unit(self, unit: str) -> None:
        """Ask systemd to start it. Failed with the reason."""
        if not self._connection:
            raise Failed("memd is on no bus")
        await systemd.start_unit(self._connection, unit)

    def unit_pressure_changed(self, unit: str, level: Level, facts: Mapping[str, object]) -> None:
        told = variants.dictionary(self._library, facts)
        self._signal(ROOT_PATH, MANAGER, "UnitPressureChanged", "ssa{sv}", [unit, str(level), told])

    async def follow_units(self, units: Collection[str], changed: Callable[[str], None]) -> None:
        """`changed(unit)` whenever systemd says that one of these has; no others are followed. Failed where there is no systemd."""
        assert self._connection, "start() comes first"
        for unit in self._followed.values():
            await self._connection.call_bus("RemoveMatch", "s", [systemd.match(unit)])
        self._followed, self._unit_changed = {}, changed
        for unit in units:
            await self._connection.call_bus("AddMatch", "s", [systemd.match(unit)])
            self._followed[systemd.unit_path(unit)] = unit
        if units:
            await systemd.subscribe(self._connection)

    async def control_group(self, unit: str) -> str:
        """Of a unit, "" while it does not run. Failed where systemd does not tell."""
        if not self._connection:
            raise Failed("memd is on no bus")
        return await systemd.control_group(self._connection, unit)

    def job_changed(self, job: Job) -> None:
        """A job began or ended."""
        if job.state != RUNNING:
            facts = {key: value for key, value in properties(job).items() if key in ("State", "Message")}
            changed = variants.dictionary(self._library, facts)
            where = job_path(job.number)
            self._signal(where, PROPERTIES, "PropertiesChanged", "sa{sv}as", [JOB, changed, []])
        self.heaps_changed()

    def heaps_changed(self) -> None:
        """Objects came or went: say so, once for changes that come together."""
        self._stale = True
        if self._connection and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        while self._stale:
            self._stale = False
            await self._show()

    async def _show(self) -> None:
        assert self._tree
        objects = await self._tree.changing()
        for gone in self._shown.keys() - objects.keys():
            self._signal(ROOT_PATH, OBJECT_MANAGER, "InterfacesRemoved", "oas", [gone, [self._shown[gone]]])
        for new in objects.keys() - self._shown.keys():
            self._added(new, objects[new])
        self._shown = {where: target.interface for where, target in objects.items()}

    def _added(self, where: str, target: Object) -> None:
        assert self._tree
        self._signal(ROOT_PATH, OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [where, self._tree.managed(target)])

    def _signal(self, where: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._connection:
            self._connection.signal(where, interface, member, signature, body)

    # In

    def _signalled(self, signal: Received) -> None:
        """Only the bus may say that somebody has gone: a client can send the same words to us directly. That a unit has changed anybody
        may say: then systemd is asked."""
        if signal.member == "PropertiesChanged" and signal.path in self._followed:
            self._unit_changed(self._followed[signal.path])
            return
        if (signal.sender, signal.interface, signal.member, signal.signature) != (BUS, BUS, "NameOwnerChanged", "sss"):
            return
        if not self._connection:  # stopped, and the name that went is ours
            return
        name, _, owner = self._connection.arguments(signal)
        if not owner and self._credentials:
            self._credentials.forget(name)

    async def _own(self, connection: Connection) -> None:
        try:
            ours = await naming.request(connection, BUS_NAME)
        except CallFailed as error:
            raise ConnectionError(
                f"the bus does not let this process be {BUS_NAME}: {error.text}; is {BUS_NAME}.conf installed?"
            ) from error
        if not ours:
            raise NameTaken(
                f"{BUS_NAME} belongs to {await naming.holder(connection, BUS_NAME)}; one bus has room for one memd"
            )
