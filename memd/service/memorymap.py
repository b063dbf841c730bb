"""The board's memory map as memd found it at its start: read once in a thread, checked, told to the journal and to who asks.

Nobody waits for it at the start; who asks before it is read waits then. The map does not change while a kernel runs. Places that only the
boot log tells are not passed on: the log is root's, and everybody may ask memd.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from memd import names
from memd.early import Noun
from memd.kernel.root import Root
from memd.model import Event

if TYPE_CHECKING:
    from memd.model_map import MapFinding

log = logging.getLogger(__name__)
MOST_REGIONS = 256  # objects on the bus
MOST_ENTRIES = 20  # in the journal
PRIORITIES = {"error": 4, "warning": 5}  # by severity; notes are for memctl map check


class Known(Noun):
    """What stays of the reading, as it is told."""

    facts: dict[str, object]
    regions: list[dict[str, object]]


class BoardMap:
    """`start` in a running loop, as the last thing of memd's start; `stop` ends the reading."""

    def __init__(self, root: Root, tell: Callable[[Event], None]) -> None:
        self._root, self._tell = root, tell
        self._begun = asyncio.Event()
        self._reading: asyncio.Task[Known] | None = None

    def start(self) -> None:
        self._reading = asyncio.create_task(self._read())
        self._begun.set()

    async def stop(self) -> None:
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def facts(self) -> dict[str, object]:
        """For GetStatus: `board`, where the tree names it, and `map` with counts. Empty where nothing could be read."""
        return (await self._known()).facts

    async def regions(self) -> list[dict[str, object]]:
        """One for each region that is not disabled, as the device tree has it; the first MOST_REGIONS."""
        return (await self._known()).regions

    async def _known(self) -> Known:
        await self._begun.wait()
        assert self._reading is not None
        return await asyncio.shield(self._reading)

    async def _read(self) -> Known:
        try:
            known, entries = await asyncio.to_thread(_look, self._root)
        except Exception:  # a map that nobody thought of must not cost the device its daemon
            log.exception("the memory map could not be read; memd goes on without it")
            return Known({}, [])
        for event in entries:
            self._tell(event)
        return known


def _look(root: Root) -> tuple[Known, list[Event]]:
    """Blocking. What it takes is imported here: memd's start does not wait for it."""
    from memd.kernel import mapfacts
    from memd.policy import mapwords
    from memd.policy.mapmerge import merge
    from memd.policy.maprules import check

    told = merge(mapfacts.read(root))
    findings = check(told)
    live = [one for one in told.regions if one.enabled]
    board, rules = mapwords.board(told), mapwords.by_region(findings)
    facts: dict[str, object] = {"board": board} if board else {}
    facts["map"] = {"regions": len(live), **mapwords.counts(findings)}
    regions = [mapwords.region(one, rules.get(one.name, ())) for one in live[:MOST_REGIONS]]
    return Known(facts, regions), events(findings)


def events(findings: list[MapFinding]) -> list[Event]:
    """Entries for errors and warnings, and one for those that are too many."""
    told = [one for one in findings if one.severity.value in PRIORITIES]
    entries = [_event(one) for one in told[:MOST_ENTRIES]]
    if len(told) > MOST_ENTRIES:
        words = f"memory map: {len(told) - MOST_ENTRIES} findings more; memctl map check shows all"
        entries.append(Event(words, names.MESSAGE_MAP, 5, {"MEMD_RULE": "", "MEMD_PLACE": "", "MEMD_REMEDY": ""}))
    return entries


def _event(one: MapFinding) -> Event:
    fields: dict[str, str | int | float] = {
        "MEMD_RULE": one.rule,
        "MEMD_PLACE": one.place,
        "MEMD_REMEDY": one.remedy,
        "MEMD_SEVERITY": one.severity.value,
    }
    return Event(f"memory map: {one.place}: {one.what}", names.MESSAGE_MAP, PRIORITIES[one.severity.value], fields)
