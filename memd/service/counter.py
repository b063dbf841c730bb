"""What can be lent at once, in whatever thread asks: lane and bus come here first, and to the broker with the rest.

Same rules, books, words and order of decisions as the broker's; it only leaves out what cannot matter. What binds a caller's requests is
worked out once for each configuration and set of heaps, and then one comparison for each cap is the decision. Left to the broker: whatever
waits (CMA areas, a stalling kernel, quotas that the kernel may free), whatever is large, and everything under pressure but refusals.

Memory is looked at once in a while: a look is good for some milliseconds, and for a quarter of what is above the floor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from memd.errors import BadKernelFile, MemdError
from memd.kernel.root import Root
from memd.model import Caller, Config, Grant, Heap, HeapKind, Level, Memory, Request, Rule, Verdict
from memd.policy import admission, arguments, rules
from memd.service import errand, facts, source
from memd.service.charges import Limit, Reservation
from memd.service.heaps import Heaps
from memd.service.ledger import Ledger
from memd.service.pools import Pools
from memd.service.refusals import Refusals, error

KINDS = {HeapKind.SYSTEM, HeapKind.UDMABUF, HeapKind.SIMULATED}
# Bytes that the kernel clears in some milliseconds: what others on the lane wait for at the most.
QUICK = 8 << 20
GOOD_FOR = 0.01  # seconds
PART = 4
KNOWN = 256  # requests that are worked out already


class Terms(NamedTuple):
    """What binds one caller at one heap. `rule` None: nobody lets him in. `quick`: the heap keeps nobody waiting. `only`: no other heap
    could serve the same word."""

    heap: Heap
    rule: Rule | None
    limits: tuple[Limit, ...] = ()
    largest: int = 0
    quick: bool = True
    only: bool = True


class Counter:
    """`good_for`: seconds that a look at memory is good for."""

    def __init__(
        self,
        root: Root,
        config: Config,
        heaps: Heaps,
        ledger: Ledger,
        level: Callable[[], Level],
        refusals: Refusals,
        good_for: float = GOOD_FOR,
    ) -> None:
        self.config, self.heaps, self.ledger, self.level = config, heaps, ledger, level
        self.good_for = good_for
        self._root, self._refusals = root, refusals
        self.pools: Pools | None = None
        self._known: dict[tuple[object, ...], tuple[Customer, Asked]] = {}
        self._memory: Memory | None = None
        self._until, self._left = 0.0, 0
        self.page = os.sysconf("SC_PAGE_SIZE")

    def configure(self, config: Config) -> None:
        self.config, self._until = config, 0.0

    def customer(self, caller: Caller) -> Customer:
        return Customer(self, caller)

    def lend(
        self, caller: Caller, word: str, sizes: tuple[int, ...], label: str = "", most: int = arguments.MAX_MANY
    ) -> list[Grant] | None:
        """For whoever asks by no lane: what was asked lately is worked out. None: the broker has to be asked. As Customer.lend."""
        key = (caller, word, sizes, label, most)
        customer, asked = self._known.get(key, (None, None))
        if customer is None or asked is None or not customer.fresh(asked):
            customer = self.customer(caller)
            asked = customer.ask(word, sizes, label, most)
            if asked is None:
                return None
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[key] = customer, asked
        return customer.lend(asked)

    def open_to(self, caller: Caller) -> bool:
        """Whether any rule lets the caller have anything."""
        return any(rules.deciding(self.config.rules, caller, heap) for heap in self.heaps.heaps)

    def memory(self) -> Memory:
        """As of the last look, if that is still good. OSError, BadKernelFile: the kernel does not say."""
        with self.ledger.lock:
            return self._memory if self._memory and time.monotonic() < self._until else self._look()

    def has_room(self, size: int) -> bool:
        """Whether memory is far enough from the floor for this to be no question. Takes it off what the look is good for. Under the
        ledger's lock."""
        if size > self._left or time.monotonic() >= self._until:
            self._look()
        self._left -= size
        return self._left >= 0

    def _look(self) -> Memory:
        """For heaps that are no CMA area: one look is all of theirs."""
        self._until = 0.0
        memory = self._memory = facts.memory(self._root, Heap("", HeapKind.SYSTEM), self.ledger)
        self._left = max(memory.available - (memory.cma_free or 0) - self.config.bounds.floor, 0) // PART
        self._until = time.monotonic() + self.good_for
        return memory

    def terms(self, caller: Caller, word: str) -> Terms | None:
        """None: the broker has to be asked. NoSuchHeap."""
        heap, *others = self.heaps.find(word)
        return self.terms_at(caller, heap, only=not others)

    def terms_at(self, caller: Caller, heap: Heap, *, only: bool = True) -> Terms | None:
        quick = heap.kind in KINDS
        rule = rules.deciding(self.config.rules, caller, heap)
        if rule is None or rule.closed:
            return Terms(heap, None, quick=quick, only=only)
        memory = self.memory() if quick else facts.memory(self._root, heap, self.ledger)
        whole = admission.whole(heap, memory)
        if not whole:
            return None  # shares of nobody knows what
        caps = admission.caps(rule, self.config.bounds, heap, whole)
        limits = self.ledger.limits(caps, caller.owner, rule.name, areas(rule, self.heaps.heaps), heap.area)
        return Terms(heap, rule, limits, self._largest(rule, memory), quick, only)

    def _largest(self, rule: Rule, memory: Memory) -> int:
        limits = (memory.total, self.config.bounds.max_buffer_size, rule.max_buffer_size)
        return min(limit for limit in limits if limit is not None)

    def from_pool(self, caller: Caller, terms: Terms, request: Request) -> list[Grant] | None:
        """Buffers that are there already: only the caps and the pressure bind. None: no pool has them for this caller now."""
        rule, bounds = terms.rule, self.config.bounds
        if self.pools is None or rule is None or max(request.sizes) > terms.largest:
            return None
        if not rule.exempt and bounds.refuse_at is not None and self.level() >= bounds.refuse_at:
            return None
        size, count = request.total, len(request.sizes)
        return self.pools.lend(caller, request, rule.name, lambda: self.ledger.fits(terms.limits, size, count))

    def refuse(self, caller: Caller, request: Request, verdict: Verdict) -> MemdError:
        """Told to the journal; ready to be raised."""
        with self.ledger.lock:
            self._refusals.refused(caller, request, verdict)
        return error(verdict)

    def check(self, heap: Heap, sizes: Sequence[int]) -> bool:
        """Whether this kind of heap gives such sizes, as far as it can be told."""
        try:
            source.check(self._root, heap, sizes)
        except (MemdError, OSError, BadKernelFile):
            return False
        return True


class Asked(NamedTuple):
    """A request with what binds it; `stands_on`: the configuration and the heaps that it was worked out by.
    `terms` None: for the broker."""

    request: Request
    size: int
    terms: Terms | None
    stands_on: tuple[Config, tuple[Heap, ...]]


class Customer:
    """One caller, who asks again and again for the same. For one thread."""

    def __init__(self, counter: Counter, caller: Caller) -> None:
        self.caller = caller
        self._counter, self._ledger = counter, counter.ledger

    def ask(self, word: str, asked: Sequence[int], label: str = "", most: int = arguments.MAX_MANY) -> Asked | None:
        """What `lend` takes, any number of times. None: the broker has to be asked. MemdError for what nobody may ask."""
        counter = self._counter
        sizes, label = arguments.sizes(asked, counter.page, most), arguments.label(label)
        try:
            terms = counter.terms(self.caller, word)
        except (OSError, BadKernelFile):
            return None  # the broker meets the same trouble, and has words for it
        request = Request(terms.heap if terms else counter.heaps.find(word)[0], sizes, label)
        return Asked(request, request.total, terms, (counter.config, counter.heaps.heaps))

    def fresh(self, asked: Asked) -> bool:
        """Whether nothing has changed since that would bind the request differently."""
        config, heaps = asked.stands_on
        return config is self._counter.config and heaps is self._counter.heaps.heaps

    def lend(self, asked: Asked) -> list[Grant] | None:
        """All or nothing; None: the broker has to be asked. The receiver owns the fds. MemdError as Broker.allocate has it."""
        request, terms, counter = asked.request, asked.terms, self._counter
        if terms is None:
            return None
        if counter.config.pools and self._ledger.knows(self.caller.owner, terms.heap):
            pooled = counter.from_pool(self.caller, terms, request)
            if pooled:
                return pooled
        if not terms.quick:
            return None
        try:
            reservation = self._reserve(terms, request, asked.size)
            if reservation is None:
                self._refuse(terms, request)
                return None
        except (OSError, BadKernelFile):
            return None
        return self._fetch(reservation, request)

    def _reserve(self, terms: Terms, request: Request, size: int) -> Reservation | None:
        """None where it is not plain that it may be."""
        heap, rule = terms.heap, terms.rule
        if rule is None or size > QUICK or max(request.sizes) > terms.largest or self._counter.level():
            return None
        if heap.kind is HeapKind.UDMABUF and not self._counter.check(heap, request.sizes):
            return None
        ledger, owner = self._ledger, self.caller.owner
        with ledger.lock:
            if (
                ledger.knows(owner, heap)
                and ledger.fits(terms.limits, size, len(request.sizes))
                and self._counter.has_room(size)
            ):
                return ledger.reserve(owner, rule.name, heap, request.sizes)
        return None

    def _refuse(self, terms: Terms, request: Request) -> None:
        """Raise a refusal that neither asking the kernel nor another heap would change."""
        if request.heap.kind is HeapKind.UDMABUF:
            return  # the module has a limit of its own, which the broker tells
        verdict = self._verdict(terms, request)
        if terms.only and not verdict.allowed and not verdict.scope:
            raise self._counter.refuse(self.caller, request, verdict)

    def _verdict(self, terms: Terms, request: Request) -> Verdict:
        caller, counter, heap = self.caller, self._counter, terms.heap
        rule = terms.rule or rules.deciding(counter.config.rules, caller, heap)
        if rule is None:
            return admission.not_allowed(request, caller.owner)
        usage = self._ledger.usage(caller.owner, rule.name, areas(rule, counter.heaps.heaps), heap.area)
        return admission.decide(rule, counter.config.bounds, usage, request, counter.memory(), counter.level())

    def _fetch(self, reservation: Reservation, request: Request) -> list[Grant]:
        fds: list[int] = []
        try:
            fds = source.allocate(request.heap, request.sizes)
            return errand.book(self._ledger, reservation, self.caller, request, fds)
        except (MemdError, OSError) as trouble:
            source.close(fds)
            self._ledger.give_back(reservation)
            told = source.translate(trouble, request.heap)
            verdict = admission.refusal(reservation.rule, str(told), type(told).__name__)
            raise self._counter.refuse(self.caller, request, verdict) from trouble


def areas(rule: Rule, heaps: Sequence[Heap]) -> set[str]:
    """What the rule's caps go by; a heap that is gone may have lent memory all the same."""
    return {heap.area for heap in heaps if rules.covers(rule, heap)} | rule.heaps
