"""Units that are started at a level: `[Pressure] CriticalUnit=` and its siblings. systemd starts them, so nothing of them runs in memd.

Going up, the unit of each level that is reached or passed; at the end of pressure NoneUnit=. A start that is still being answered is not
asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from memd import names
from memd.model import Event, Level
from memd.service.listener import Listener

NOTICE, ERROR = 5, 3


class Hooks(Listener):
    """`start(unit)` asks systemd, and raises with a sentence where it could not."""

    def __init__(self, start: Callable[[str], Awaitable[None]], tell: Callable[[Event], None]) -> None:
        self._start, self._tell = start, tell
        self._running: dict[str, asyncio.Task[None]] = {}
        self.units: Mapping[Level, str] = {}

    def moved(self, level: Level, previous: Level) -> None:
        for one in due(self.units, level, previous):
            if self.units[one] not in self._running:
                self._run(self.units[one], one)

    def _run(self, unit: str, level: Level) -> None:
        self._running[unit] = task = asyncio.ensure_future(self._ask(unit, level))
        task.add_done_callback(lambda _: self._running.pop(unit, None))

    async def _ask(self, unit: str, level: Level) -> None:
        fields: dict[str, str | int | float] = {"MEMD_UNIT": unit, "MEMD_LEVEL": str(level)}
        try:
            await self._start(unit)
        except Exception as error:  # whatever it is, the journal has to have it
            message = f"{unit} could not be started at memory pressure {level}: {error or type(error).__name__}"
            self._tell(Event(message, names.MESSAGE_UNIT_FAILED, ERROR, fields))
        else:
            self._tell(
                Event(f"{unit} is started: memory pressure is {level}", names.MESSAGE_UNIT_STARTED, NOTICE, fields)
            )

    async def stop(self) -> None:
        """What was asked for may happen; nobody waits for the answer."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def due(units: Mapping[Level, str], level: Level, previous: Level) -> list[Level]:
    """The levels whose unit is to be started, lowest first."""
    passed = [one for one in units if previous < one <= level]
    return sorted(passed) if level else [one for one in units if one is Level.NONE]
