"""Wiring of the daemon, after swap is on: every room is put together here, and nothing is decided.

Ends: SIGTERM or SIGINT with status 0; the bus gone or its name taken with status 1, so that systemd starts memd again. Swap stays
on in every case.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from memd import __version__, config, names
from memd.bus import contract, library
from memd.bus.calls import CallFailed
from memd.bus.job import path as job_path
from memd.bus.server import NameTaken, Server
from memd.bus.services import Services
from memd.config_dropin import DropIn
from memd.early import Finding, ZramOutcome
from memd.errors import BadKernelFile, ConfigError, MemdError
from memd.ini import Ini
from memd.kernel import fdstore, meminfo, trim
from memd.kernel.fdstore import FdStore, Stored
from memd.kernel.root import Root
from memd.model import Config, Event
from memd.service import pressuresockets
from memd.service.broker import Broker
from memd.service.cmawatch import CmaWatch
from memd.service.heaps import Heaps
from memd.service.hooks import Hooks
from memd.service.jobs import Job, Jobs
from memd.service.journal import Journal
from memd.service.keeper import Keeper
from memd.service.lowmemory import LowMemory
from memd.service.memorymap import BoardMap
from memd.service.owners import Owners
from memd.service.pressurefds import PressureFds
from memd.service.pressuresockets import PressureSockets
from memd.service.status import Status
from memd.service.swapwatch import SwapWatch
from memd.service.unitwatch import UnitWatch
from memd.service.watch import Watch
from memd.service.zramcare import ZramCare
from memd.service.zramlimit import ZramLimit
from memd.service.zramlive import ZramLive
from systemd import daemon as systemd_daemon

if TYPE_CHECKING:
    from memd.main import Options

log = logging.getLogger(__name__)
FEATURES = (
    "Allocate",
    "AllocateMany",
    "CanAllocate",
    "OpenLane",
    "ListBuffers",
    "GetStatus",
    "WriteOff",
    "Reload",
    "Zram.Set",
    "PressureChanged",
    "CmaAllocationFailed",
    "OpenPressureFd",
    "UnitPressureChanged",
    "CmaStateChanged",
)
NO_KCMP = "this kernel has no CONFIG_KCMP: systemd keeps one owner's buffers for memd, and those of others are forgotten if memd ends"
ZRAM_EVENTS = {"active": names.MESSAGE_ZRAM_READY, "adopted": names.MESSAGE_ZRAM_READY, "off": names.MESSAGE_ZRAM_OFF}


def run(root: Root, options: Options, source: Ini, outcome: ZramOutcome, stored: Sequence[Stored] = ()) -> int:
    """Until told to stop. Exit status as the module says."""
    trim.one_arena()
    logging.basicConfig(format="memd: %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        settings = config.build(source, meminfo.read(root).total)
        return asyncio.run(Daemon(root, options, settings, outcome, stored).run())
    except (OSError, BadKernelFile, NameTaken, ImportError) as error:
        print(f"memd: {error}", file=sys.stderr)
        return 1


class Daemon:
    """The services, the bus, and what connects them."""

    def __init__(
        self, root: Root, options: Options, settings: Config, outcome: ZramOutcome, stored: Sequence[Stored] = ()
    ) -> None:
        self._root, self._options, self._outcome = root, options, outcome
        self._stop = asyncio.Event()
        self._tell: Callable[[Event], None] = Journal(root)
        self._server = Server(library.load("dbus_fast" if options.fast else "dbus_next"))
        self._heaps = Heaps(root, options.simulate, settings.aliases, settings.any_heaps)
        self._pressure = settings.pressure
        self._watch = Watch(root, settings.pressure, self._tell, self._server.pressure_changed)
        self._pressure_fds = PressureFds()
        self._pressure_sockets = PressureSockets(pressuresockets.directory(os.environ.get("RUNTIME_DIRECTORY")))
        self._unit_pressure = settings.unit_pressure
        self._units = UnitWatch(root, self._tell, self._server.unit_pressure_changed, self._server.control_group)
        self._hooks = Hooks(self._server.start_unit, self._tell)
        self._hooks.units = settings.pressure.units
        self._watch.listeners += [
            self._pressure_fds,
            self._pressure_sockets,
            LowMemory(self._server.low_memory),
            self._hooks,
        ]
        self._broker = Broker(
            root,
            settings,
            self._heaps,
            self._tell,
            lambda: self._watch.level,
            self._server.cma_failed,
            keeper=self._keeper(stored),
        )
        self._watch.listeners.append(self._broker.pools)
        self._care = ZramCare(root, settings.care, self._tell, lambda: self._watch.level)
        self._jobs = Jobs(self._job_changed)
        dropin = DropIn(root, options.config)
        self._zram = ZramLive(root, dropin, self._jobs, lambda: self._watch.level, self._tell)
        self._zram.devices = settings.zrams
        self._watch.listeners.append(self._zram)
        self._limit = ZramLimit(root, self._tell)
        self._watch.listeners.append(self._limit)
        self._swap = SwapWatch(
            root, settings.swap, self._tell, lambda zram: self._care.swaps_changed(zram_is_swap=zram)
        )
        # Callers are processes of this machine, whatever directory stands for its kernel.
        self._owners = Owners(Root())
        self._status = Status(root, outcome, self._heaps, self._broker, self._watch, self._owners)
        self._areas = CmaWatch(root, self._tell, self._server.cma_state_changed, self._broker.exhausted)
        self._status.areas = self._areas
        self._status.version, self._status.simulated = __version__, options.simulate
        self._status.findings = settings.findings
        self._status.board = self._board = BoardMap(root, self._tell)
        self._status.care, self._status.swap = self._care, self._swap
        self._status.lacking = config.lacking(settings)

    def _keeper(self, stored: Sequence[Stored]) -> Keeper | None:
        store = FdStore(os.environ.get("NOTIFY_SOCKET"))
        if store.there and not fdstore.tells_apart():
            self._tell(Event(NO_KCMP, names.MESSAGE_MISSING, 5, {}))
        try:
            return Keeper(store, stored, self._tell) if store.there else None
        except OSError as error:
            log.error("what is lent will be forgotten if memd ends: %s", error)
            return None

    async def run(self) -> int:
        """The bus may go at any moment after the name is owned, the rest of the start included."""
        try:
            return await self._serve()
        except ConnectionError as error:
            if not self._server.named:
                raise
            return self._bus_is_gone(error)

    async def _serve(self) -> int:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._tell_start()
            await self._zram.finish_what_was_cut_short()
            systemd_daemon.notify("READY=1")
            self._after_ready()
            lost = asyncio.ensure_future(self._server.run_until_disconnected())
            stopped = asyncio.ensure_future(self._stop.wait())
            await asyncio.wait({lost, stopped}, return_when=asyncio.FIRST_COMPLETED)
            systemd_daemon.notify("STOPPING=1")
            for task in (lost, stopped):
                task.cancel()
            results = await asyncio.gather(lost, stopped, return_exceptions=True)
        return 0 if self._stop.is_set() else self._bus_is_gone(results[0])

    def _after_ready(self) -> None:
        """What nobody who waits for memd waits for. Who asks sooner has it done for him."""
        contract.read().method("", "", "")
        self._board.start()
        trim.settle()

    def _bus_is_gone(self, why: object) -> int:
        log.error("the bus is gone (%s); ending, so that systemd starts memd again; swap stays on", why)
        return 1

    async def _start(self, stack: AsyncExitStack) -> None:
        """The watch and the heaps before the name: who sees the name finds everything behind it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_by_signal)
        stack.push_async_callback(self._broker.close)
        self._heaps.start(self._heaps_changed)
        stack.callback(self._heaps.stop)
        self._areas.start()
        stack.callback(self._areas.stop)
        await self._watch.start()
        stack.push_async_callback(self._watch.stop)
        for listener in (self._pressure_fds, self._pressure_sockets):
            stack.callback(listener.close)
        self._care.start()
        stack.push_async_callback(self._care.stop)
        stack.push_async_callback(self._swap.stop)
        await self._swap.start()
        stack.push_async_callback(self._jobs.close)
        self._limit.look()
        stack.push_async_callback(self._limit.stop)
        await self._server.start(self._options.bus, self._services())
        stack.push_async_callback(self._server.stop)
        stack.push_async_callback(self._hooks.stop)
        stack.push_async_callback(self._units.stop)
        self._broker.pools.start()
        self._status.units = self._units
        self._status.unheard = await self._unheard()
        stack.push_async_callback(self._board.stop)

    def _heaps_changed(self) -> None:
        self._server.heaps_changed()
        self._broker.pools.fill()

    async def _unheard(self) -> tuple[str, ...]:
        """Who won't hear of pressure though the configuration wants it: a line each."""
        reasons = (
            self._pressure_sockets.start(),
            await self._server.warn(self._pressure.low_memory_monitor),
            await self._follow_units(),
        )
        return tuple(filter(None, reasons))

    async def _follow_units(self) -> str:
        """Why units that the configuration names can't be watched; "" where all is well."""
        try:
            await self._server.follow_units(self._unit_pressure, self._units.look)
        except (MemdError, CallFailed, ConnectionError, TimeoutError) as error:
            return f"pressure of units can't be watched: {error}"
        await self._units.configure(self._unit_pressure)
        return ""

    def _job_changed(self, job: Job) -> None:
        self._server.job_changed(job)
        self._limit.look()

    def _services(self) -> Services:
        return Services(
            owners=self._owners,
            broker=self._broker,
            heaps=self._heaps,
            watch=self._watch,
            pressure_fds=self._pressure_fds,
            status=self._status,
            jobs=self._jobs,
            zram=self._zram,
            reload=self.reload,
            version=__version__,
            features=FEATURES,
        )

    def _tell_start(self) -> None:
        self._tell(zram_event(self._outcome))
        self._tell_degraded(self._status.findings)
        for line in self._status.missing:
            self._tell(Event(line, names.MESSAGE_MISSING, 5, {}))

    def _tell_degraded(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self._tell(degraded_event(finding))

    async def reload(self) -> dict[str, object]:
        """Read the configuration anew; ConfigError, and nothing changed, if anything in it is wrong."""
        settings = await asyncio.to_thread(
            lambda: config.check(self._root, meminfo.read(self._root).total, self._options.config)
        )
        self._heaps.configure(settings.aliases, settings.any_heaps)
        self._broker.configure(settings)
        self._server.rules_changed()
        self._pressure, self._hooks.units = settings.pressure, settings.pressure.units
        self._unit_pressure = settings.unit_pressure
        await self._watch.configure(settings.pressure)
        self._care.configure(settings.care)
        await self._swap.configure(settings.swap)
        self._status.unheard = await self._unheard()
        self._status.findings, self._status.lacking = (), config.lacking(settings)
        changed = self._zram.configure(settings) or await self._zram.finish_what_was_cut_short()
        jobs = [job_path(job.number) for job in changed]
        return {"message": "reloaded; zram is being changed" if jobs else "reloaded", "jobs": jobs}

    def _reload_by_signal(self) -> None:
        task = asyncio.ensure_future(self.reload())
        task.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Future[dict[str, object]]) -> None:
        error = task.exception()
        if isinstance(error, ConfigError):
            log.error("not reloaded, the last good configuration stays: %s", error)
        elif error:
            log.error("not reloaded", exc_info=error)


def zram_event(outcome: ZramOutcome) -> Event:
    fields: dict[str, str | int | float] = {"MEMD_ZRAM_STATE": outcome.state}
    facts = {"MEMD_DEVICE": outcome.device, "MEMD_DISKSIZE": outcome.disksize, "MEMD_ALGORITHM": outcome.algorithm}
    fields |= {key: value for key, value in facts.items() if value is not None}
    identifier = ZRAM_EVENTS.get(outcome.state, names.MESSAGE_ZRAM_FAILED)
    return Event(f"zram: {outcome.reason}", identifier, 3 if outcome.state == "failed" else 6, fields)


def degraded_event(finding: Finding) -> Event:
    fields: dict[str, str | int | float] = {"MEMD_FILE": finding.file, "MEMD_LINE": finding.line}
    fields |= {"MEMD_SECTION": finding.section, "MEMD_KEY": finding.key}
    return Event(f"running degraded: {finding}", names.MESSAGE_DEGRADED, 4, fields)
