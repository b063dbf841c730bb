"""CMA areas that could not serve a request of memd's: told to everybody as CmaAllocationFailed, and to the journal.

The signal names area and size, not who asked: that is told to the caller, and as a refusal to the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from memd import names
from memd.model import Event, HeapKind, Request, Verdict
from memd.service.allowance import Allowances
from memd.units import format_size

BURST = 5
INTERVAL = 10.0  # seconds in which an area may be told of once more
WARNING = 4

Signal = Callable[[str, int, dict[str, object]], None]


class Exhausted:
    """`signal(region, pages, facts)`: CmaAllocationFailed. `page`: bytes."""

    def __init__(
        self, tell: Callable[[Event], None], signal: Signal, page: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell, self._signal, self._page = tell, signal, page
        self._allowances = Allowances(BURST, INTERVAL, clock)

    def refused(self, request: Request, verdict: Verdict) -> None:
        """Told if the area had no room; any other refusal concerns its caller only."""
        if request.heap.kind is not HeapKind.CMA or verdict.error != "NoMemory":
            return
        suppressed = self._allowances.take(request.heap.area)
        if suppressed is not None:
            self._say(request, suppressed)

    def _say(self, request: Request, suppressed: int) -> None:
        region, largest = request.heap.area, max(request.sizes)
        facts: dict[str, object] = {"heap": request.heap.name, "size": largest, "suppressed": suppressed}
        self._signal(region, -(-largest // self._page), facts)
        fields: dict[str, str | int | float] = {
            "MEMD_REGION": region,
            "MEMD_HEAP": request.heap.name,
            "MEMD_SIZE": largest,
            "MEMD_SUPPRESSED": suppressed,
        }
        message = f"CMA area {region} had no room for {format_size(largest)} from heap {request.heap.name}"
        self._tell(Event(message, names.MESSAGE_CMA_FAILED, WARNING, fields))
