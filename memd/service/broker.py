"""Lends heap memory: finds the heap, asks the rules, reserves, decides, allocates, and remembers by weak reference.

memd keeps no copy of a buffer. Between a decision and its reservation nothing is awaited, so no order of requests breaks a cap.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence

from memd.errors import BadKernelFile, Busy, MemdError
from memd.kernel.requester import Requester
from memd.kernel.root import Root
from memd.model import Buffer, Caller, Config, Event, Grant, Heap, HeapKind, Level, Request, Rule, Verdict
from memd.names import MESSAGE_WRITTEN_OFF
from memd.policy import admission, arguments, owners, rules
from memd.service import cmacompact, facts, source, totals
from memd.service.charges import Reservation
from memd.service.counter import Counter, areas
from memd.service.errand import Errand
from memd.service.exhausted import Exhausted, Signal
from memd.service.heaps import Heaps
from memd.service.keeper import Keeper
from memd.service.ledger import Ledger
from memd.service.pools import Pools
from memd.service.refusals import Refusals, error
from memd.service.workers import Worker
from memd.units import format_seconds, format_size

# Bytes that a heap gives in some 100 µs where memory is not short: less than the way to a thread and back.
INLINE = 1 << 20
# Bytes from which on a request is made in a process of its own; where memory is short, that is from INLINE on.
LARGE = 64 << 20
SWAP = "swap"
MAY_INLINE = {HeapKind.SYSTEM, HeapKind.UDMABUF, HeapKind.SIMULATED}


class Broker:
    """`tell`: the journal; `level`: of pressure, now; `cma_failed(region, pages, facts)`: the signal. `asked()`: a CMA area was asked for
    memory, in the loop."""

    def __init__(
        self,
        root: Root,
        config: Config,
        heaps: Heaps,
        tell: Callable[[Event], None],
        level: Callable[[], Level],
        cma_failed: Signal = lambda _region, _pages, _facts: None,
        *,
        keeper: Keeper | None = None,
    ) -> None:
        """`keeper`: the broker owns it; None where nothing outlives memd."""
        self._root, self._config, self._heaps, self._level = root, config, heaps, level
        self._ledger = Ledger(keeper=keeper, released=lambda area: facts.released(root, area))
        self._tell, self._refusals = tell, Refusals(tell)
        self.exhausted = Exhausted(tell, cma_failed, os.sysconf("SC_PAGE_SIZE"))
        self.asked: Callable[[], None] = lambda: None
        self._workers: dict[str, Worker] = {}
        self._requester = Requester()
        self._page = os.sysconf("SC_PAGE_SIZE")
        self.counter = Counter(root, config, heaps, self._ledger, level, self._refusals)
        self.pools = self.counter.pools = Pools(root, config, heaps, self._ledger, level, self._requester)

    def configure(self, config: Config) -> None:
        """From the next decision on; what is lent stays lent."""
        self._config = config
        self.counter.configure(config)
        self.pools.configure(config)

    async def close(self) -> None:
        for worker in self._workers.values():
            await worker.close()
        self._workers.clear()
        await self.pools.close()
        self._requester.close()
        await self._ledger.close()

    async def allocate(
        self, caller: Caller, heap: str, sizes: Sequence[int], label: str = "", most: int = arguments.MAX_MANY
    ) -> list[Grant]:
        """All or nothing, from the first heap of the candidates that can. The receiver of the list owns the fds.

        MemdError: InvalidArgs, NoSuchHeap, NotAllowed, LimitsExceeded, QuotaExceeded, PressureTooHigh, NoMemory, Busy,
        NotSupported, Failed. A cancelled call leaves no fd and no charge.
        """
        if sum(sizes) <= INLINE:
            at_once = self.counter.lend(caller, heap, tuple(sizes), label, most)
            if at_once:
                return at_once
        refused = []
        for request in self._requests(heap, sizes, label, most):
            outcome = await self._lend(caller, request)
            if not isinstance(outcome, Verdict):
                return outcome
            refused.append((request, outcome))
            self.exhausted.refused(request, outcome)
        request, verdict = admission.most_telling(refused)
        with self._ledger.lock:
            self._refusals.refused(caller, request, verdict)
        raise error(verdict)

    async def can_allocate(self, caller: Caller, heap: str, size: int) -> tuple[Verdict, dict[str, object]]:
        """The decision without the buffer: nothing is reserved, nobody is told."""
        refused = []
        for request in self._requests(heap, (size,), ""):
            verdict, _ = await self._judge(caller, request)
            refused.append((request, verdict))
            if verdict.allowed:
                break
        request, verdict = admission.most_telling(refused)
        info: dict[str, object] = {
            "heap": request.heap.name,
            "size": request.total,
            "rule": verdict.rule,
            "limit": verdict.limit,
            "use": verdict.use,
            "reason": verdict.reason,
            "owner": caller.owner,
            "why": rules.why(self._config.rules, caller, request.heap),
        }
        return verdict, info if verdict.allowed else info | {"error": error(verdict).bus_name}

    async def buffers(
        self,
        caller: Caller,
        *,
        after: int = 0,
        limit: int = arguments.MAX_PAGE,
        heap: str | None = None,
        older: float | None = None,
        owner: str | None = None,
    ) -> tuple[list[Buffer], int | None]:
        """A page of what is alive, by id, and the id to go on after (None: that was all). Root sees all, others their own.

        `heap`: name or alias; `older`: seconds; `owner`: as listings show it. InvalidArgs for a limit out of 1..1000.
        """
        arguments.limit(limit)
        born = None if older is None else time.time() - older
        wanted = _filter(caller, {heap} | self._names_of(heap), born, owner)
        await self._refresh(self._whose(caller, owner))
        found = list(
            itertools.islice((one for one in self._ledger.buffers() if one.id > after and wanted(one)), limit + 1)
        )
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    def _whose(self, caller: Caller, owner: str | None) -> set[str] | None:
        """Owners whose buffers a listing may show; None: all."""
        if owner is not None:
            return {owner}
        return None if caller.is_admin else {one.owner for one in self._ledger.buffers() if _is_own(caller, one)}

    async def write_off(self, number: int) -> Buffer:
        """For administrators: stop charging the owner for what others keep alive. NoSuchBuffer, Busy."""
        await self._refresh()
        buffer = self._ledger.write_off(number)
        self._tell(_written_off(buffer))
        return buffer

    async def lent(self) -> dict[str, tuple[int, int]]:
        """Heap name -> (bytes, buffers) alive now."""
        await self._refresh()
        return self._ledger.lent()

    def totals(self, caller: Caller | None) -> dict[str, object]:
        """`lending`, and `owners` as this caller may know them (None: nobody's), by the books, which `lent` brings up to date."""
        told: dict[str, object] = {"lending": totals.lending(self._ledger, self._config.bounds, self._refusals)}
        return told | {"owners": totals.owners(self._ledger, self._refusals, caller)} if caller else told

    async def _refresh(self, owners: Iterable[str] | None = None) -> None:
        try:
            await self._ledger.refresh(owners)
        except OSError as trouble:
            raise Busy(f"the kernel could not be asked what is still held ({trouble.strerror})") from trouble

    def _requests(self, heap: str, sizes: Sequence[int], label: str, most: int = arguments.MAX_MANY) -> list[Request]:
        rounded, label = arguments.sizes(sizes, self._page, most), arguments.label(label)
        return [Request(candidate, rounded, label) for candidate in self._heaps.find(heap)]

    def _names_of(self, word: str | None) -> set[str | None]:
        return {heap.name for heap in self._heaps.heaps if word in heap.words}

    async def _lend(self, caller: Caller, request: Request) -> list[Grant] | Verdict:
        """Grants, or why not."""
        rule = ""
        try:
            await self._ledger.make_room(caller.owner)
            terms = self.counter.terms_at(caller, request.heap) if self._config.pools else None
            pooled = self.counter.from_pool(caller, terms, request) if terms else None
            if pooled:
                return pooled
            verdict, reservation = await self._judge(caller, request, reserve=True)
            if reservation is None:
                return verdict
            rule = verdict.rule
            return await self._fetch(caller, request, reservation)
        except (MemdError, OSError, BadKernelFile) as trouble:
            return _trouble(rule, trouble, request.heap)

    async def _judge(
        self, caller: Caller, request: Request, *, reserve: bool = False
    ) -> tuple[Verdict, Reservation | None]:
        """Nothing is awaited after the last decision. The books are brought up to date only where that could change it."""
        swappable, tried = 0, set()
        while True:
            verdict, reservation = self._decide_once(caller, request, swappable, reserve=reserve)
            remedy = verdict.scope
            if verdict.error == "NoMemory" and request.heap.kind is HeapKind.CMA:
                remedy = SWAP
            if not remedy or remedy in tried:
                return verdict, reservation
            tried.add(remedy)
            if remedy == SWAP:
                swappable = await facts.swappable(self._root)
            else:
                await self._refresh([caller.owner] if remedy == admission.OWNER else None)

    def _decide_once(
        self, caller: Caller, request: Request, swappable: int, *, reserve: bool
    ) -> tuple[Verdict, Reservation | None]:
        """The lane's thread decides too: the books stay as they are until what was decided is in them."""
        with self._ledger.lock:
            rule, verdict = self._decide(caller, request, swappable)
            if rule is None or not (reserve and verdict.allowed):
                return verdict, None
            try:
                outside = facts.outside(self._root, request.heap, request.total)
                return verdict, self._ledger.reserve(caller.owner, rule.name, request.heap, request.sizes, outside)
            except (MemdError, OSError) as trouble:
                return _trouble(rule.name, trouble, request.heap), None

    def _decide(self, caller: Caller, request: Request, swappable: int) -> tuple[Rule | None, Verdict]:
        rule = rules.deciding(self._config.rules, caller, request.heap)
        if rule is None:
            return None, admission.not_allowed(request, caller.owner)
        try:
            source.check(self._root, request.heap, request.sizes)
            memory = facts.memory(self._root, request.heap, self._ledger, swappable)
        except (MemdError, OSError, BadKernelFile) as trouble:
            return rule, _trouble(rule.name, trouble, request.heap)
        usage = self._ledger.usage(caller.owner, rule.name, areas(rule, self._heaps.heaps), request.heap.area)
        return rule, admission.decide(rule, self._config.bounds, usage, request, memory, self._level())

    async def _fetch(self, caller: Caller, request: Request, reservation: Reservation) -> list[Grant]:
        heap, short = request.heap, self._level() is not Level.NONE
        apart = request.total >= LARGE or (short and request.total > INLINE)
        errand = Errand(self._ledger, reservation, caller, request, self._requester if apart else None)
        errand.before = cmacompact.before(self._root, heap.kind, request.total, self._config.care.compact_before_cma)
        if heap.kind in MAY_INLINE and request.total <= INLINE and not short:
            errand.work_here()
            return await errand.answer()
        worker, deadline = self._worker(heap), self._config.bounds.deadline
        worker.submit(errand)
        try:
            async with asyncio.timeout(deadline):
                return await errand.answer()
        except asyncio.CancelledError:
            worker.withdraw(errand)
            raise
        except TimeoutError:
            worker.withdraw(errand)
            raise Busy(_late(heap, deadline)) from None
        finally:
            if heap.kind is HeapKind.CMA:
                self.asked()

    def _worker(self, heap: Heap) -> Worker:
        if heap.area not in self._workers:
            self._workers[heap.area] = Worker(heap.area)
        return self._workers[heap.area]


def _late(heap: Heap, deadline: float) -> str:
    what = f"CMA area {heap.area}" if heap.kind is HeapKind.CMA else "the kernel"
    return f"heap {heap.name}: {what} is busy, and gave no buffer within the {format_seconds(deadline)} of [Lending] Deadline; ask again"


def _written_off(buffer: Buffer) -> Event:
    message = (
        f"buffer {buffer.id} ({format_size(buffer.size)} of heap {buffer.heap}) is charged to {buffer.owner} no longer"
    )
    fields: dict[str, str | int | float] = {
        "MEMD_BUFFER": buffer.id,
        "MEMD_OWNER": buffer.owner,
        "MEMD_HEAP": buffer.heap,
        "MEMD_SIZE": buffer.size,
    }
    return Event(message, MESSAGE_WRITTEN_OFF, 5, fields)


def _trouble(rule: str, trouble: Exception, heap: Heap) -> Verdict:
    told = source.translate(trouble, heap)
    return admission.refusal(rule, str(told), type(told).__name__)


def _filter(caller: Caller, heaps: set[str | None], born: float | None, owner: str | None) -> Callable[[Buffer], bool]:
    def wanted(buffer: Buffer) -> bool:
        heap = heaps == {None} or buffer.heap in heaps
        return (
            _is_own(caller, buffer)
            and heap
            and (born is None or buffer.time <= born)
            and (owner is None or buffer.owner == owner)
        )

    return wanted


def _is_own(caller: Caller, buffer: Buffer) -> bool:
    """Not by unit: cron.service is many users' owner, and what each of them has is not for the others to see."""
    return caller.is_admin or buffer.uid == caller.uid or buffer.owner == owners.by_uid(caller.uid)
