"""Swap as it comes and goes: /proc/swaps tells of each swapon and swapoff, so that nobody has to look. Settings follow it (swaptune), and
what harms beside zram is told once.

Fact that bites: poll(2) on /proc/swaps says EPOLLERR with each event, and has forgotten it when it is asked again: that the loop woke up is
the event.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from memd.early import SwapSettings
from memd.errors import BadKernelFile
from memd.kernel import swaps, zswap
from memd.kernel.epoll import Urgent
from memd.kernel.root import Root
from memd.model import Event
from memd.names import MESSAGE_SWAP
from memd.policy import otherswap, swapfill
from memd.service import swaptune

log = logging.getLogger(__name__)


class SwapWatch:
    """`changed(zram_is_swap)` after each swapon and swapoff; `words`: what harms now, for status."""

    def __init__(
        self, root: Root, settings: SwapSettings, tell: Callable[[Event], None], changed: Callable[[bool], None]
    ) -> None:
        self._root, self._settings, self._tell, self._changed = root, settings, tell, changed
        self._urgent: Urgent | None = None
        self._looking: asyncio.Task[None] | None = None
        self._again = False
        self._told: set[str] = set()
        self.words: tuple[str, ...] = ()

    async def start(self) -> None:
        """Looks once, and from now on at each change. The fd of /proc/swaps is this object's until `stop`."""
        if self._root.is_machine and self._root.exists(swaps.NAME):
            self._urgent = Urgent(os.open(self._root.path(swaps.NAME), os.O_RDONLY | os.O_CLOEXEC))
            asyncio.get_running_loop().add_reader(self._urgent.fileno(), self._heard)
        await self._look()

    async def configure(self, settings: SwapSettings) -> None:
        self._settings = settings
        await self._look()

    async def stop(self) -> None:
        """What was set stays set: zram stays too."""
        if self._urgent:
            asyncio.get_running_loop().remove_reader(self._urgent.fileno())
            self._urgent.close()
            self._urgent = None
        if self._looking:
            await asyncio.wait({self._looking})

    def _heard(self) -> None:
        if self._urgent:
            self._urgent.take()
        if self._looking and not self._looking.done():
            self._again = True
            return
        self._looking = asyncio.ensure_future(self._look_until_quiet())

    async def _look_until_quiet(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            await self._look()

    async def _look(self) -> None:
        changes, words, zram = await asyncio.to_thread(self._read)
        for change in changes:
            self._tell(Event(f"swap: {change}", MESSAGE_SWAP, 6, {}))
        self.words = tuple(str(word) for word in words)
        for word in words:
            if str(word) not in self._told:
                self._told.add(str(word))
                self._tell(Event(f"swap: {word}", MESSAGE_SWAP, 4 if word.harms else 5, {"MEMD_RULE": word.rule}))
        self._changed(zram)

    def _read(self) -> tuple[tuple[str, ...], tuple[otherswap.Word, ...], bool]:
        """(what was changed, what harms, whether zram is swap)."""
        changes = swaptune.apply(self._root, self._settings)
        try:
            active = swaps.read(self._root) or ()
            facts = otherswap.Facts(
                swaps=active, zswap=zswap.is_on(self._root), hibernates=zswap.hibernates(self._root)
            )
        except (OSError, BadKernelFile) as error:
            log.warning("swap can't be looked at: %s", error)
            return changes, (), False
        return changes, otherswap.words(facts), any(map(swapfill.is_zram, active))
