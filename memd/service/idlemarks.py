"""Which pages of a device are idle: by the kernel's access times, or, where it keeps none, by marks that are looked at later.

Without access times all pages are marked, and what still has its mark after the idle age was not used; then all are marked again.
Blocking, and for one thread at a time.
"""

from __future__ import annotations

import errno
import math

from memd.errors import Failed
from memd.kernel import clocks, meminfo, zramcare
from memd.kernel.root import Root
from memd.model_care import CareSettings
from memd.policy import idleage

NOT_AWAKE = "the machine has not been awake for long enough"
MARKED = "this kernel keeps no access times: pages were marked, and what is still marked later is idle"
WAITS = "this kernel keeps no access times: pages were marked a while ago, and the mark is not old enough"


class NotYet(Failed):
    """No page can be idle for so long yet."""


class IdleMarks:
    """`stay`: marks of a shorter age stay when a longer one is asked for, so only the longer one is, if anything is written back."""

    def __init__(self, root: Root, settings: CareSettings, *, stay: bool) -> None:
        self._root, self._settings, self._stay = root, settings, stay
        self._samples: tuple[idleage.Sample, ...] = ()
        self._marked: dict[str, float] = {}  # device -> seconds awake when all its pages were marked; no access times
        self._to_do: dict[str, set[str]] = {}

    def configure(self, settings: CareSettings) -> None:
        self._settings = settings

    def sample(self) -> None:
        """Remember when the machine was awake; call it at each round, worked or not."""
        most = max(self._settings.writeback_idle[1], self._settings.recompress_idle[1])
        self._samples = idleage.remembered((*self._samples, (clocks.since_boot(), clocks.awake())), most)

    def mark_for_writeback(self, name: str) -> None:
        """Marks what is idle for long enough to be written back; NotYet where nothing can be."""
        self._mark(name, "writeback", self._settings.writeback_idle)

    def mark_for_recompression(self, name: str) -> None:
        written_back = self._settings.writeback and zramcare.backing_device(self._root, name) is not None
        long = self._stay and written_back
        self._mark(name, "recompress", self._settings.writeback_idle if long else self._settings.recompress_idle)

    def done(self, name: str, works: set[str]) -> None:
        """These were done with the marks of now: when all are, new ones are made."""
        waiting = self._to_do.get(name)
        if waiting is not None:
            waiting -= works
            if not waiting:
                del self._marked[name], self._to_do[name]

    def _mark(self, name: str, work: str, bounds: tuple[float, float]) -> None:
        wanted = idleage.wanted(*bounds, meminfo.read(self._root))
        if name in self._marked:
            self._look_again(name, work, wanted)
            return
        age = idleage.counted(wanted, self._samples) if self._samples else None
        if age is None or math.ceil(age) >= clocks.since_boot():  # the kernel then does nothing, and older marks stay
            raise NotYet(NOT_AWAKE)
        try:
            zramcare.mark_idle(self._root, name, math.ceil(age))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._mark_all(name, work)

    def _mark_all(self, name: str, work: str) -> None:
        zramcare.mark_idle(self._root, name, None)
        self._marked[name] = clocks.awake()
        self._to_do[name] = {work}
        raise NotYet(MARKED)

    def _look_again(self, name: str, work: str, wanted: float) -> None:
        self._to_do[name].add(work)
        if clocks.awake() - self._marked[name] < wanted:
            raise NotYet(WAITS)
