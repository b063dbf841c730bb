"""The heaps of this machine, now: nodes in /dev/dma_heap, /dev/udmabuf, and with --simulate a memfd heap that says so.

Heaps may come as modules after memd started, and their directory with the first of them: the nearest parent that exists is watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from memd.early import replace
from memd.kernel import cmaheap, dmaheap, udmabuf
from memd.kernel.inotify import CREATE, DELETE, MOVED_FROM, MOVED_TO, ONLYDIR, Inotify
from memd.kernel.root import Root
from memd.model import Heap, HeapKind
from memd.names import SIMULATED, UDMABUF
from memd.policy import heapnames
from memd.service import source

# Watched from the top down, so that what appears in between is an event; None: every name in it is a heap.
WATCHED: tuple[tuple[str, frozenset[str] | None], ...] = (
    ("", frozenset({"dev"})),
    ("dev", frozenset({"dma_heap", "udmabuf"})),
    (dmaheap.DIRECTORY, None),
)
LACKING = {
    HeapKind.SYSTEM: "no system heap (CONFIG_DMABUF_HEAPS_SYSTEM)",
    HeapKind.CMA: "no CMA heap (CONFIG_DMABUF_HEAPS_CMA, and a CMA area)",
    HeapKind.UDMABUF: "no /dev/udmabuf (CONFIG_UDMABUF)",
}
PINNABLE = (
    "on this kernel, who holds a buffer of heap {} can pin its memory (vmsplice), and keep it where nobody sees it: beside root only those "
    "may borrow there whose [Allow] rule names it"
)
NO_HEAPS = "no /dev/dma_heap: this kernel has no DMA-BUF heaps (CONFIG_DMABUF_HEAPS), or none yet"


class Heaps:
    """`heaps` and `missing` are as of the last look; `start` keeps them so. `aliases`: [Heap NAME] Aliases= by heap name."""

    def __init__(
        self,
        root: Root,
        simulate: bool,  # noqa: FBT001 (an option, handed through)
        aliases: Mapping[str, tuple[str, ...]],
        any_heaps: tuple[str, ...],
        pinnable: Callable[[Heap], bool] = source.pinnable,
    ) -> None:
        self._root, self._simulate = root, simulate
        self._aliases, self._any = aliases, any_heaps
        self._areas = cmaheap.read(root)  # areas are made at boot: once is enough, and the tree is big
        self._inotify: Inotify | None = None
        self._interests: dict[int, frozenset[str] | None] = {}
        self._pinnable, self._pins = pinnable, dict[str, bool]()
        self._blind: tuple[str, ...] = ()
        self._on_change: Callable[[], None] = lambda: None
        self.heaps: tuple[Heap, ...] = ()
        self.missing: tuple[str, ...] = ()
        self.look()

    def start(self, on_change: Callable[[], None]) -> None:
        """Watch in the running loop; `on_change` is called after `heaps` changed. Where the kernel gives no inotify, `missing` says so."""
        self._on_change = on_change
        try:
            self._inotify = Inotify()
            self._watch()
        except OSError as error:
            self.stop()
            self._blind = (f"heaps that appear later are not seen: {error}",)
        else:
            asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._happened)
        self.look()

    def stop(self) -> None:
        if self._inotify:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def configure(self, aliases: Mapping[str, tuple[str, ...]], any_heaps: tuple[str, ...]) -> None:
        self._aliases, self._any = aliases, any_heaps
        self.look()

    def find(self, word: str) -> list[Heap]:
        """Candidates for what a caller said, in order: a heap's own name, an alias, or `any`. NoSuchHeap if there is none.
        A driver's region is reached by its own name only."""
        return heapnames.find(word, self.heaps, (*self._any, *((SIMULATED,) if self._simulate else ())))

    def look(self) -> None:
        """Look again; `on_change` is called if anything differs. Heaps that can't be listed stay as they were, and `missing` says so."""
        try:
            nodes = dmaheap.names(self._root)
        except OSError as error:
            self.missing = (f"heaps can't be listed: {error}", *self._blind)
            return
        heaps = tuple(replace(heap, pinnable=self._can_pin(heap)) for heap in self._scan(nodes or ()))
        self.missing = (*self._lacking(heaps, none=nodes is None), *self._blind)
        if heaps != self.heaps:
            self.heaps = heaps
            self._on_change()

    def _scan(self, nodes: tuple[str, ...]) -> Iterator[Heap]:
        directory = self._root.path(dmaheap.DIRECTORY)
        yield from heapnames.describe(nodes, self._areas, self._aliases, directory)
        if self._root.exists(udmabuf.DEVICE) and UDMABUF not in nodes:
            yield Heap(UDMABUF, HeapKind.UDMABUF, self._root.path(udmabuf.DEVICE), self._aliases.get(UDMABUF, ()))
        if self._simulate and SIMULATED not in nodes:
            yield Heap(SIMULATED, HeapKind.SIMULATED, None, self._aliases.get(SIMULATED, ()))

    def _can_pin(self, heap: Heap) -> bool:
        """Tried once for each heap. Where it cannot be, the heap is no device, or gives nobody anything now."""
        if heap.path is None:
            return False
        if heap.path not in self._pins:
            try:
                self._pins[heap.path] = self._pinnable(heap)
            except OSError:
                return False
        return self._pins[heap.path]

    def _lacking(self, heaps: tuple[Heap, ...], *, none: bool) -> Iterator[str]:
        if none:
            yield NO_HEAPS
        kinds = {heap.kind for heap in heaps}
        for kind, line in LACKING.items():
            if kind not in kinds and not (none and kind is not HeapKind.UDMABUF):
                yield line
        yield from (PINNABLE.format(heap.name) for heap in heaps if heap.pinnable)

    def _watch(self) -> None:
        """What is not there yet has its parent watched."""
        assert self._inotify
        self._interests.clear()
        for name, interest in WATCHED:
            try:
                wd = self._inotify.watch(self._root.path(name), CREATE | DELETE | MOVED_FROM | MOVED_TO | ONLYDIR)
            except (FileNotFoundError, NotADirectoryError):
                return
            self._interests[wd] = interest

    def _happened(self) -> None:
        """Other nodes come and go in /dev: they are no reason to look."""
        assert self._inotify
        if any(self._concerns(wd, name) for wd, name in self._inotify.events()):
            self._watch()
            self.look()

    def _concerns(self, wd: int, name: str) -> bool:
        interest = self._interests.get(wd)
        return interest is None or name in interest
