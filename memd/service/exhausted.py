"""CMA areas that could not serve a request: told to everybody as CmaAllocationFailed, and to the journal.

Of a request of memd's own the signal names area and size, not who asked: that is told to the caller, and as a refusal to the journal. Of a
driver's it names the task that the kernel traced.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from memd import names
from memd.model import CmaAllocation, Event, HeapKind, Request, Verdict
from memd.service.allowance import Allowances
from memd.units import format_size

BURST = 5
INTERVAL = 10.0  # seconds in which an area may be told of once more
SAME = 1.0  # seconds in which a second word of the same area and size is the first one's echo
WARNING = 4

Signal = Callable[[str, int, dict[str, object]], None]


class Exhausted:
    """`signal(region, pages, facts)`: CmaAllocationFailed. `page`: bytes."""

    def __init__(
        self, tell: Callable[[Event], None], signal: Signal, page: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell, self._signal, self._page = tell, signal, page
        self._allowances, self._clock = Allowances(BURST, INTERVAL, clock), clock
        self._recent: dict[tuple[str, int], tuple[str, float]] = {}
        self._pages: dict[str, int] = {}

    def refused(self, request: Request, verdict: Verdict) -> None:
        """Told if the area had no room; any other refusal concerns its caller only."""
        if request.heap.kind is not HeapKind.CMA or verdict.error != "NoMemory":
            return
        largest, heap = max(request.sizes), request.heap.name
        message = f"CMA area {request.heap.area} had no room for {format_size(largest)} from heap {heap}"
        self._tell_once(
            "refusal", request.heap.area, -(-largest // self._page), {"heap": heap, "size": largest}, message
        )

    def failed(self, allocation: CmaAllocation) -> None:
        """The kernel traced that a request failed: anybody's, memd's own too."""
        size = allocation.pages * self._page
        facts: dict[str, object] = {
            "size": size, "errno": allocation.errno, "pid": allocation.pid, "comm": allocation.comm,
            "age": max(self._clock() - allocation.time, 0.0),
        }  # fmt: skip
        error = os.strerror(allocation.errno)
        whose = f"{allocation.comm} (process {allocation.pid})"
        message = f"CMA area {allocation.region} had no room for {format_size(size)}, asked for by {whose}: {error}"
        self._tell_once("trace", allocation.region, allocation.pages, facts, message)

    def counted(self, region: str, pages: int) -> None:
        """The kernel's counter of pages that were not to be had went on; what was told meanwhile is in it."""
        left = pages - self._pages.pop(region, 0)
        if left > 0:
            size = left * self._page
            message = f"CMA area {region} had no room for {format_size(size)} in all since it was looked at last"
            self._tell_once("counter", region, left, {"size": size, "counted": True}, message)
            self._pages.pop(region, None)

    def _tell_once(self, source: str, region: str, pages: int, facts: dict[str, object], message: str) -> None:
        """A request of memd's own has two that tell it, the trace and its refusal: the second is the first one's echo."""
        now = self._clock()
        self._recent = {key: told for key, told in self._recent.items() if now - told[1] < SAME}
        self._pages[region] = self._pages.get(region, 0) + pages
        if self._recent.get((region, pages), (source,))[0] != source:
            del self._recent[region, pages]
            return
        suppressed = self._allowances.take(region)
        if suppressed is None:
            return
        self._recent[region, pages] = source, now
        self._signal(region, pages, {**facts, "suppressed": suppressed})
        fields: dict[str, str | int | float] = {
            f"MEMD_{key.upper()}": value for key, value in facts.items() if isinstance(value, str | int | float)
        }
        fields |= {"MEMD_REGION": region, "MEMD_SUPPRESSED": suppressed}
        self._tell(Event(message, names.MESSAGE_CMA_FAILED, WARNING, fields))
