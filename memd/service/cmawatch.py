"""CMA areas over time: each failure of any driver told when it happens, areas that fill up or fall to pieces, and what was seen of each.

Nothing polls. The kernel's tracepoint wakes memd at each failure, and at each request or release of LEAST or more; after a wake-up it is
left alone for PAUSE, so a storm costs one look per second. With it and without an area is looked at when memd itself has asked it for
memory, when the level of pressure moves, and when somebody asks for the status; without it, what failed since the last look is told late,
out of the counters, and `missing` says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping

from memd import names
from memd.early import replace
from memd.errors import BadKernelFile
from memd.kernel import cma, cmadebug
from memd.kernel.root import Root
from memd.kernel.tracefs import CmaTrace
from memd.model import CmaAllocation, CmaRegion, Event, Level
from memd.policy import cmahealth
from memd.policy.cmahealth import CmaSeen
from memd.service.cmaseen import SeenFile
from memd.service.exhausted import Exhausted
from memd.service.listener import Listener
from memd.units import format_size

log = logging.getLogger(__name__)
LEAST = 1 << 20  # bytes of a request that is worth a look though it was served
PAUSE = 1.0
NOTICE, WARNING, INFO = 5, 4, 6
MESSAGES = {
    cmahealth.NEARLY_FULL: (names.MESSAGE_CMA_NEARLY_FULL, WARNING),
    cmahealth.FRAGMENTED: (names.MESSAGE_CMA_FRAGMENTED, WARNING),
    cmahealth.FINE: (names.MESSAGE_CMA_FINE, INFO),
}

Changed = Callable[[str, str, dict[str, object]], None]


class CmaWatch(Listener):
    """`changed(region, state, facts)`: the signal. `exhausted`: who tells failures."""

    def __init__(
        self,
        root: Root,
        tell: Callable[[Event], None],
        changed: Changed,
        exhausted: Exhausted,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._tell, self._signal, self._exhausted, self._clock = root, tell, changed, exhausted, clock
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._file = SeenFile(root)
        self._seen: dict[str, CmaSeen] = {}
        self._first: dict[str, CmaRegion] = {}
        self._last: dict[str, CmaRegion] = {}
        self._trace: CmaTrace | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._again = self._running = False
        self.missing: tuple[str, ...] = ()

    def start(self) -> None:
        """Never fails: what can't be had is a line in `missing`."""
        if not self._root.list(cma.DIRECTORY):
            return
        self._running, self._seen = True, self._file.read()
        try:
            self._trace = CmaTrace(self._root, LEAST // self._page)
        except (OSError, BadKernelFile) as error:
            self.missing += (
                f"CMA failures of drivers are counted, and told late: no tracepoint cma:cma_alloc_finish ({error})",
            )
        else:
            asyncio.get_running_loop().add_reader(self._trace.fileno(), self._traced)
        self._observe_now()
        if self._file.trouble:
            log.warning("%s", self._file.trouble)
        if self._last and not self._runs():
            self.missing += ("the largest free run of CMA areas is unknown: no debugfs with CONFIG_CMA_DEBUGFS",)

    def stop(self) -> None:
        if self._pause:
            self._pause.cancel()
        if self._trace:
            asyncio.get_running_loop().remove_reader(self._trace.fileno())
            self._trace.close()
        self._pause = self._trace = None
        self._running = False

    # What happens

    def _traced(self) -> None:
        assert self._trace
        for allocation in self._trace.read():
            self._ended(allocation)
        self._look()

    def moved(self, level: Level, previous: Level) -> None:
        """Where memory is short areas fill up with what others put there."""
        self.changed()

    def changed(self) -> None:
        """Something took from an area, or may have: for requests that the tracepoint does not tell. Looked at now, or after the pause."""
        if self._pause:
            self._again = True
        elif self._running:
            self._look()

    def _look(self) -> None:
        """And then none for PAUSE, whatever happens."""
        self._observe_now()
        loop = asyncio.get_running_loop()
        if self._trace:
            loop.remove_reader(self._trace.fileno())
        self._pause = loop.call_later(PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        if self._trace:
            asyncio.get_running_loop().add_reader(self._trace.fileno(), self._traced)
        if self._again:
            self._again = False
            self._look()

    def _ended(self, allocation: CmaAllocation) -> None:
        size = allocation.pages * self._page
        seen = cmahealth.asked(self._seen.get(allocation.region, CmaSeen()), size, self._clock())
        if allocation.errno:
            used = self._used(allocation.region)
            seen = replace(
                seen,
                failures=seen.failures + 1,
                largest_failed=max(seen.largest_failed, size),
                needed=max(seen.needed, used + size),
            )
            self._exhausted.failed(allocation)
        self._seen[allocation.region] = seen

    def _used(self, region: str) -> int:
        try:
            now = next((one for one in cma.read(self._root) if one.name == region), None)
        except (OSError, BadKernelFile):
            return 0
        return now.size - now.available if now and now.size is not None and now.available is not None else 0

    def _observe_now(self) -> None:
        try:
            self.observe(cma.read(self._root), self._runs())
        except (OSError, BadKernelFile) as error:
            log.warning("CMA areas can't be looked at: %s", error)

    def _runs(self) -> dict[str, int]:
        return largest_runs(self._root)

    # What is seen

    def observe(self, regions: tuple[CmaRegion, ...], runs: Mapping[str, int]) -> None:
        """One look at all areas, whoever took it."""
        for region in regions:
            self._first.setdefault(region.name, region)
            self._counted(region)
            self._judge(region, runs.get(region.name))
            self._last[region.name] = region
        self._file.keep({name: seen for name, seen in self._seen.items() if name in self._last})

    def _counted(self, region: CmaRegion) -> None:
        """Without the tracepoint a failure is what the counter says since the last look; one that went back says nothing."""
        last = self._last.get(region.name)
        failed = _delta(last.alloc_fail if last else None, region.alloc_fail)
        if failed and self._trace is None:
            seen = self._seen.get(region.name, CmaSeen())
            self._seen[region.name] = replace(seen, failures=seen.failures + 1)
            self._exhausted.counted(region.name, failed)

    def _judge(self, region: CmaRegion, run: int | None) -> None:
        seen = self._seen.get(region.name, CmaSeen())
        if region.size is not None and region.available is not None:
            seen = replace(seen, peak=max(seen.peak, region.size - region.available))
            state = cmahealth.state(seen, region.size, region.available, run, self._clock())
            if state != seen.state:
                self._say(region, run, seen, state)
            seen = replace(seen, state=state)
        self._seen[region.name] = seen

    def _say(self, region: CmaRegion, run: int | None, seen: CmaSeen, state: str) -> None:
        facts = {"size": region.size, "available": region.available, "largest_run": run, "asked": seen.asked or None}
        known = {key: value for key, value in facts.items() if value is not None}
        words = [f"{format_size(region.available or 0)} of {format_size(region.size or 0)} free"]
        words += [f"the largest run {format_size(run)}"] if run is not None else []
        words += [f"lately asked for {format_size(seen.asked)}"] if state == cmahealth.FRAGMENTED else []
        self._signal(region.name, state, dict(known))
        identifier, priority = MESSAGES[state]
        fields: dict[str, str | int | float] = {f"MEMD_{key.upper()}": value for key, value in known.items()}
        message = f"CMA area {region.name} is {state.replace('-', ' ')}: {', '.join(words)}"
        self._tell(Event(message, identifier, priority, {"MEMD_REGION": region.name, "MEMD_STATE": state, **fields}))

    def facts(self, name: str) -> dict[str, object]:
        """What a status says of an area beside the kernel's numbers: bytes, and pages for the counters since memd started."""
        seen, first, last = self._seen.get(name, CmaSeen()), self._first.get(name), self._last.get(name)
        found: dict[str, object] = {
            "state": seen.state,
            "peak": seen.peak,
            "failures": seen.failures,
            "largest_failed": seen.largest_failed,
            "largest_asked": seen.asked,
            "needed": seen.needed,
        }
        for key in ("alloc_success", "alloc_fail"):
            since = _delta(getattr(first, key, None), getattr(last, key, None))
            found |= {f"{key}_since": since} if since is not None else {}
        return found


def largest_runs(root: Root) -> dict[str, int]:
    """Empty where debugfs does not tell."""
    try:
        return cmadebug.largest_runs(root)
    except (OSError, BadKernelFile) as error:
        log.info("the largest free runs of CMA areas are unknown: %s", error)
        return {}


def _delta(before: int | None, now: int | None) -> int | None:
    """What a counter went on by; 0 if it went back, None where one look is missing."""
    return None if before is None or now is None else max(now - before, 0)
