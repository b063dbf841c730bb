"""Everything that `memctl status` prints, gathered in one place and in one round trip."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from memd.early import Finding, MemInfo, Noun, Swap, ZramOutcome, ZramStat
from memd.errors import BadKernelFile
from memd.kernel import cma, meminfo, psi, swaps, zram
from memd.kernel.root import Root
from memd.model import Caller, CmaRegion, Heap, Psi, SwapFill
from memd.policy import cmahealth, swapfill
from memd.service import zramfacts
from memd.service.broker import Broker
from memd.service.cmawatch import CmaWatch, largest_runs
from memd.service.heaps import Heaps
from memd.service.memorymap import BoardMap
from memd.service.owners import Owners
from memd.service.swapwatch import SwapWatch
from memd.service.unitwatch import UnitWatch
from memd.service.watch import Watch
from memd.service.zramcare import ZramCare

T = TypeVar("T")
SLOW = 0.5  # zram's write-locked rounds can hold up a reader of mm_stat: show the last value instead of waiting


@dataclass(slots=True)
class Machine:
    """The kernel's side of a status, as last read."""

    memory: MemInfo
    swaps: tuple[Swap, ...] = ()
    zrams: tuple[ZramStat, ...] = ()
    more: dict[str, zramfacts.Extra] = field(default_factory=dict)
    regions: tuple[CmaRegion, ...] = ()
    runs: dict[str, int] = field(default_factory=dict)
    psi: Psi | None = None
    unreadable: tuple[str, ...] = ()


class Status:
    """`read()` gives nested dicts of plain values; a key is absent where the machine does not tell."""

    def __init__(
        self, root: Root, outcome: ZramOutcome, heaps: Heaps, broker: Broker, watch: Watch, owners: Owners
    ) -> None:
        self._root, self._outcome, self._heaps, self._broker, self._watch = root, outcome, heaps, broker, watch
        self._owners = owners
        self._started = time.monotonic()
        self._last: Machine | None = None
        self._reading: asyncio.Future[Machine] | None = None
        self.findings: Sequence[Finding] = ()
        self.lacking: Sequence[str] = ()
        self.unheard: Sequence[str] = ()
        self.units: UnitWatch | None = None
        self.areas: CmaWatch | None = None
        self.version = ""
        self.care: ZramCare | None = None
        self.swap: SwapWatch | None = None
        self.simulated = False
        self.board: BoardMap | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """One line for each thing that this machine lacks and memd does without."""
        units = self.units.missing if self.units else ()
        areas = self.areas.missing if self.areas else ()
        return (
            *self._watch.missing,
            *self._heaps.missing,
            *self._owners.missing,
            *self.lacking,
            *self.unheard,
            *units,
            *areas,
        )

    async def read(self, caller: Caller | None = None) -> dict[str, object]:
        """`caller`: whom it is for; None leaves out what concerns single owners."""
        machine = await self._machine()
        lent = await self._broker.lent()
        return {
            "version": self.version,
            "pid": os.getpid(),
            "uptime": time.monotonic() - self._started,
            "simulated": self.simulated,
            "degraded": [str(finding) for finding in self.findings],
            "missing": [*self.missing, *machine.unreadable],
            "swap_words": list(self.swap.words) if self.swap else [],
            "memory": _plain(machine.memory),
            "zram_state": self._outcome.state,
            "zram_reason": self._outcome.reason,
            "zram": [self._zram(stat, machine) for stat in machine.zrams if stat.disksize],
            "maintenance": self.care.status() if self.care else {},
            "swap": [_plain(swap) for swap in machine.swaps],
            "swap_fill": _fill(swapfill.fill(machine.memory, machine.swaps, machine.zrams)),
            "cma": self._cma(machine),
            "heaps": [_heap(heap, lent) for heap in self._heaps.heaps],
            "pools": self._broker.pools.status(),
            **self._broker.totals(caller),
            "pressure": self._pressure(machine.psi),
            **(await self.board.facts() if self.board and caller else {}),
            "unit_pressure": self.units.status() if self.units else [],
        }

    async def _machine(self) -> Machine:
        """Read in a thread, one reader at a time; the last value if the kernel keeps it waiting."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(asyncio.to_thread(read_machine, self._root))
        reading = self._reading  # another caller may start the next one while this one waits
        await asyncio.wait({reading}, timeout=SLOW if self._last else None)
        if reading.done():
            self._last = reading.result()
        assert self._last is not None
        return self._last

    def _zram(self, stat: ZramStat, machine: Machine) -> dict[str, object]:
        facts = _zram(stat, machine.swaps) | zramfacts.facts(machine.more.get(stat.name))
        facts |= zramfacts.forecast(machine.memory, machine.swaps, stat)
        won = self.care.won(stat.name) if self.care else []
        return facts | ({"maintenance": won} if won else {})

    def _cma(self, machine: Machine) -> list[dict[str, object]]:
        """The kernel's numbers, and what was seen of each area over time; a look for a status is a look for that too."""
        if self.areas:
            self.areas.observe(machine.regions, machine.runs)
        rows = []
        for region in machine.regions:
            run = machine.runs.get(region.name)
            row = vars(region) | {
                "largest_run": run,
                "fragmentation": cmahealth.fragmentation(region.available, run),
                **(self.areas.facts(region.name) if self.areas else {}),
            }
            rows.append(_known(row))
        return rows

    def _pressure(self, now: Psi | None) -> dict[str, object]:
        facts: dict[str, object] = {
            "level": str(self._watch.level),
            "since": time.monotonic() - self._watch.since,
            "mode": self._watch.mode,
        }
        for kind, line in (("some", now.some), ("full", now.full)) if now else ():
            if line:
                facts |= {f"{kind}_avg10": line.avg10, f"{kind}_avg60": line.avg60}
        return facts


def read_machine(root: Root) -> Machine:
    """Blocking. What can't be read is told in `unreadable`, and the rest is given."""
    machine = Machine(meminfo.read(root))
    troubles: list[str] = []
    machine.swaps = _try(lambda: swaps.read(root) or (), (), troubles)
    machine.zrams = _try(lambda: zram.read_all(root), (), troubles)
    machine.more = zramfacts.read(root, [stat for stat in machine.zrams if stat.disksize])
    machine.regions = _try(lambda: cma.read(root), (), troubles)
    machine.runs = largest_runs(root) if machine.regions else {}
    machine.psi = _try(lambda: psi.read(root), None, troubles)
    machine.unreadable = tuple(troubles)
    return machine


def _try(read: Callable[[], T], otherwise: T, troubles: list[str]) -> T:
    try:
        return read()
    except (OSError, BadKernelFile) as error:
        troubles.append(str(error))
        return otherwise


def _known(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def _plain(noun: Noun) -> dict[str, object]:
    return _known(vars(noun))


def _zram(stat: ZramStat, active: Sequence[Swap]) -> dict[str, object]:
    facts = _plain(stat)
    for unwanted in ("name", "initstate", "algorithms", "backed"):
        del facts[unwanted]
    facts["device"] = f"/dev/{stat.name}"
    for swap in active:
        if os.path.basename(swap.path) == stat.name:
            facts |= {"priority": swap.priority, "swap_used": swap.used}
    return facts


def _fill(fill: SwapFill) -> dict[str, object]:
    return {**vars(fill), "fraction": fill.fraction}


def _heap(heap: Heap, lent: Mapping[str, tuple[int, int]]) -> dict[str, object]:
    size, count = lent.get(heap.name, (0, 0))
    facts = {
        "name": heap.name,
        "kind": heap.kind.value,
        "aliases": list(heap.aliases),
        "region": heap.region,
        "device": heap.device,
    }
    return _known(facts) | {"simulated": heap.kind.value == "simulated", "lent_bytes": size, "lent_buffers": count}
