"""Pools: buffers made ahead of demand, so that a large one costs its borrower a message and not the kernel's clearing of it.

Made one by one by a child that runs when nothing else does, while memory is not short; handed out once, by the same rules as all others;
never taken back. memd has the fds of those that wait, so they are gone when memd is, and need no weak reference. They are charged to
`pool:NAME`, which no rule bounds but those of all lending together, and to their borrower from the moment they are his.

What a pool lacks is made up for when half of it is gone, when the pressure is over, and when heaps or the configuration change: a pool
that could not be filled does not try again by itself, and costs nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from memd.errors import BadKernelFile, MemdError
from memd.kernel.requester import Killed, Requester
from memd.kernel.root import Root
from memd.model import Buffer, Caller, Config, Grant, Heap, HeapKind, Level, Pool, Request, Rule
from memd.policy import admission, pools
from memd.service import errand, facts, source
from memd.service.charges import Reservation
from memd.service.heaps import Heaps
from memd.service.ledger import Ledger
from memd.service.listener import Listener

PREFIX = "pool:"


class Stock:
    """One pool: its buffers that wait, oldest first, each with memd's fd. `heap`: as it was when they were made."""

    def __init__(self, pool: Pool, size: int) -> None:
        self.pool, self.size = pool, size
        self.heap: Heap | None = None
        self.ready: list[tuple[int, Buffer]] = []

    def serves(self, request: Request, rule: str) -> bool:
        """All of it or nothing."""
        return (
            self.heap == request.heap
            and len(self.ready) >= len(request.sizes)
            and all(size == self.size for size in request.sizes)
            and (not self.pool.rules or rule in self.pool.rules)
        )


class Pools(Listener):
    """`lend` may be called in any thread, the rest in the loop. `requester`: the broker's. Owns the fds. `asked()`: of a CMA area."""

    def __init__(
        self,
        root: Root,
        config: Config,
        heaps: Heaps,
        ledger: Ledger,
        level: Callable[[], Level],
        requester: Requester,
    ) -> None:
        self._root, self._config, self._heaps, self._ledger, self._level = root, config, heaps, ledger, level
        self._requester = requester
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._stocks: tuple[Stock, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filling: asyncio.Task[None] | None = None
        self._again = False
        self.asked: Callable[[], None] = lambda: None

    def start(self) -> None:
        """In the running loop."""
        self._loop = asyncio.get_running_loop()
        self.configure(self._config)

    def configure(self, config: Config) -> None:
        """A pool that is as it was keeps what it has."""
        self._config = config
        kept = {stock.pool: stock for stock in self._stocks}
        stocks = tuple(
            kept.pop(pool) if pool in kept else Stock(pool, -(-pool.size // self._page) * self._page)
            for pool in config.pools
        )
        with self._ledger.lock:
            self._stocks = stocks
        for stock in kept.values():
            self._shrink(stock, 0)
        self.fill()

    async def close(self) -> None:
        """What is being made is waited for, since the kernel can't be called off."""
        self._loop, self._again = None, False
        if self._filling:
            await asyncio.wait({self._filling})
        for stock in self._stocks:
            self._shrink(stock, 0)

    def lend(self, caller: Caller, request: Request, rule: str, allowed: Callable[[], bool]) -> list[Grant] | None:
        """None: no pool has it, or `allowed`, asked while the books have room for it, says no. The receiver owns the fds."""
        if not self._stocks:
            return None
        with self._ledger.lock:
            stock = next((stock for stock in self._stocks if stock.serves(request, rule)), None)
            if stock is None:
                return None
            count = len(request.sizes)
            taken, stock.ready = stock.ready[:count], stock.ready[count:]
            reservation = self._reserve([buffer for _, buffer in taken], caller, request, rule, allowed)
            if reservation is None:
                stock.ready = taken + stock.ready
                return None
        self._took(stock)
        fds = [fd for fd, _ in taken]
        try:
            return errand.book(self._ledger, reservation, caller, request, fds)
        except (MemdError, OSError):
            source.close(fds)
            self._ledger.give_back(reservation)
            return None

    def _reserve(
        self, buffers: Sequence[Buffer], caller: Caller, request: Request, rule: str, allowed: Callable[[], bool]
    ) -> Reservation | None:
        self._ledger.unpool(buffers)
        try:
            if allowed():
                return self._ledger.reserve(caller.owner, rule, request.heap, request.sizes)
        except (MemdError, OSError):
            pass  # the usual way meets it again, and has words for it
        self._ledger.pool_again(buffers)
        return None

    def status(self) -> list[dict[str, object]]:
        return [
            {
                "name": stock.pool.name,
                "heap": stock.heap.name if stock.heap else stock.pool.heap,
                "size": stock.size,
                "count": stock.pool.count,
                "ready": len(stock.ready),
            }
            for stock in self._stocks
        ]

    # Filling and emptying

    def moved(self, level: Level, _previous: Level) -> None:
        for stock in self._stocks:
            self._shrink(stock, pools.target(stock.pool.count, len(stock.ready), level))
        if level is Level.NONE:
            self.fill()

    def fill(self) -> None:
        """Make what is lacking, if it may be. One buffer at a time, for all pools."""
        if self._loop is None or not self._stocks:
            return
        self._again = True
        if self._filling is None:
            self._filling = self._loop.create_task(self._fill())
            self._filling.add_done_callback(self._filled)

    def _took(self, stock: Stock) -> None:
        if self._loop and pools.low(stock.pool.count, len(stock.ready)):
            self._loop.call_soon_threadsafe(self.fill)

    def _filled(self, task: asyncio.Task[None]) -> None:
        self._filling = None
        task.result()

    async def _fill(self) -> None:
        while self._again:
            self._again = False
            for stock in self._stocks:
                while stock in self._stocks and self._lacks(stock) and await self._add(stock):
                    pass

    def _lacks(self, stock: Stock) -> bool:
        ready = len(stock.ready)
        return self._loop is not None and ready < pools.target(stock.pool.count, ready, self._level())

    async def _add(self, stock: Stock) -> bool:
        """Whether there is one more. What can't be made now waits for the next reason to fill."""
        owner = PREFIX + stock.pool.name
        try:
            heap = self._heaps.find(stock.pool.heap)[0]
            with self._ledger.lock:
                if not self._may(owner, heap, stock.size):
                    return False
                promise = self._ledger.promise(owner, heap, stock.size)
                promise.at_kernel = True  # at once
        except (MemdError, OSError, BadKernelFile):
            return False
        try:
            # A child at the lowest priority must not hold a CMA area's lock that others wait for.
            idle = heap.kind is not HeapKind.CMA
            [fd] = await asyncio.to_thread(source.allocate_apart, self._requester, heap, (stock.size,), idle=idle)
        except (OSError, Killed):
            self._ledger.give_back(promise)
            return False
        with self._ledger.lock:
            if stock.heap != heap:
                self._shrink(stock, 0)
            stock.heap = heap
            stock.ready.append((fd, self._ledger.pool(promise, fd, stock.pool.name)))
        if stock not in self._stocks:
            self._shrink(stock, 0)
        if heap.kind is HeapKind.CMA:
            self.asked()
        return True

    def _may(self, owner: str, heap: Heap, size: int) -> bool:
        rule = Rule(owner, everyone=True, heaps=frozenset({heap.name}))
        memory = facts.memory(self._root, heap, self._ledger)
        usage = self._ledger.usage(owner, "", (), heap.area)
        request = Request(heap, (size,))
        return admission.decide(rule, self._config.bounds, usage, request, memory, self._level()).allowed

    def _shrink(self, stock: Stock, count: int) -> None:
        with self._ledger.lock:
            gone, stock.ready = stock.ready[count:], stock.ready[:count]
            self._ledger.unpool([buffer for _, buffer in gone])
        source.close([fd for fd, _ in gone])
