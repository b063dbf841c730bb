"""Pressure of single units: `[Pressure UNIT]` sections. Each has the triggers of its cgroup's memory.pressure, and a level of its own.

A unit that does not run has no cgroup: nothing is watched and nothing waits, until systemd says that it has changed. When its cgroup goes,
the kernel gives its triggers up, and the level comes down by relief.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePosixPath

from memd import names
from memd.errors import MemdError
from memd.kernel.root import Root
from memd.model import Event, Level, PressureSettings, Trigger
from memd.service import watchfacts
from memd.service.gauge import Gauge
from memd.service.triggers import Triggers

log = logging.getLogger(__name__)
CGROUPS = "sys/fs/cgroup"

Changed = Callable[[str, Level, dict[str, object]], None]
Find = Callable[[str], Awaitable[str]]


class Unit:
    """One watched unit. `group`: its cgroup as systemd names it (`/system.slice/x.service`), "" while it does not run."""

    def __init__(
        self, root: Root, name: str, settings: PressureSettings, changed: Callable[[str, Level, Level], None]
    ) -> None:
        self.name, self.group, self.trouble = name, "", ""
        self._root, self._asked = root, settings
        self.gauge = Gauge(settings, lambda level, previous: changed(name, level, previous))
        self.triggers = Triggers(lambda trigger: self.gauge.heard(trigger.level), self._lost)
        self.lost: Callable[[str], None] = lambda _: None

    @property
    def file(self) -> str:
        return str(PurePosixPath(CGROUPS, self.group.lstrip("/"), "memory.pressure"))

    def follow(self, group: str) -> None:
        """Watch this cgroup from now on; "": none. Never fails: why it can't be watched is `trouble`."""
        if group == self.group and len(self.triggers):
            return
        self.triggers.close()
        self.group, self.trouble = group, ""
        if not group:
            return
        try:
            self.gauge.settings = self.triggers.open(self._root, self._asked, self.file)
        except OSError as error:
            self.trouble = f"{error.strerror}: {error.filename or self._root.path(self.file)}"

    def _lost(self, _: Trigger) -> None:
        """The cgroup was removed: all its triggers are void, whichever was heard of first."""
        self.triggers.close()
        self.group = ""
        self.lost(self.name)

    def facts(self) -> dict[str, object]:
        """As GetStatus shows it; without what can't be read."""
        facts: dict[str, object] = {
            "unit": self.name,
            "level": str(self.gauge.level),
            "watched": len(self.triggers) > 0,
        }
        if self.group:
            facts["cgroup"] = self.group
            facts |= watchfacts.stalls(self._root, self.file)
        return facts

    def close(self) -> None:
        self.triggers.close()
        self.gauge.stop()


class UnitWatch:
    """`find(unit)`: its cgroup now, "" while it does not run; raises with a sentence where nobody knows. `changed(unit, level, facts)`."""

    def __init__(self, root: Root, tell: Callable[[Event], None], changed: Changed, find: Find) -> None:
        self._root, self._tell, self._told, self._find = root, tell, changed, find
        self._units: dict[str, Unit] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._unknown: dict[str, str] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """A line for each unit that can't be watched though it is configured."""
        troubles = {name: unit.trouble for name, unit in self._units.items() if unit.trouble} | self._unknown
        return tuple(f"pressure of {name} can't be watched: {trouble}" for name, trouble in sorted(troubles.items()))

    def status(self) -> list[dict[str, object]]:
        return [unit.facts() | {"since": time.monotonic() - unit.gauge.since} for unit in self._units.values()]

    async def configure(self, settings: Mapping[str, PressureSettings]) -> None:
        """Watch these units, and no others; a level that was up begins anew at none."""
        await self.stop()
        self._units = {name: Unit(self._root, name, one, self._changed) for name, one in settings.items()}
        for unit in self._units.values():
            unit.lost = self.look
            self.look(unit.name)
        while self._looking:
            await asyncio.wait(self._looking.values())

    def look(self, name: str) -> None:
        """The unit may have changed; anybody may have said so, so it is only a reason to ask."""
        if name not in self._units:
            return
        if name in self._looking:
            self._again.add(name)
            return
        self._again.discard(name)
        self._looking[name] = task = asyncio.ensure_future(self._follow(name))
        task.add_done_callback(lambda _: self._looked(name))

    def _looked(self, name: str) -> None:
        self._looking.pop(name, None)
        if name in self._again:
            self.look(name)

    async def _follow(self, name: str) -> None:
        try:
            group = await self._find(name)
        except (MemdError, OSError) as error:
            self._unknown[name] = str(error)
            group = ""
        else:
            self._unknown.pop(name, None)
        if name in self._units:
            self._units[name].follow(group)

    def _changed(self, name: str, level: Level, previous: Level) -> None:
        facts = {"unit": name, "level": str(level), "previous": str(previous), **self._units[name].facts()}
        try:
            self._told(name, level, facts)
        except Exception:  # a listener's trouble must not cost the journal its entry
            log.exception("pressure of %s could not be told", name)
        self._tell(event(name, level, previous, facts))

    async def stop(self) -> None:
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for unit in self._units.values():
            unit.close()
        self._units, self._unknown = {}, {}
        self._again.clear()


def event(name: str, level: Level, previous: Level, facts: Mapping[str, object]) -> Event:
    stalls = ", ".join(f"{kind} {facts[f'{kind}_avg10']}%" for kind in ("some", "full") if f"{kind}_avg10" in facts)
    message = f"memory pressure of {name} is {level}, was {previous}" + (
        f": stalled {stalls} of the last 10 s" if stalls else ""
    )
    priority = watchfacts.RISE_PRIORITY[level] if level > previous else watchfacts.RELIEF_PRIORITY
    fields: dict[str, str | int | float] = {
        "MEMD_UNIT": name, "MEMD_LEVEL": str(level), "MEMD_PREVIOUS": str(previous),
    }  # fmt: skip
    for kind in ("some", "full"):
        average = facts.get(f"{kind}_avg10")
        if isinstance(average, float):
            fields[watchfacts.FIELDS[f"{kind}_avg10"]] = average
    return Event(message, names.MESSAGE_UNIT_PRESSURE, priority, fields)
