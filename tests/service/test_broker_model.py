"""The broker against a model: random borrowing, passing on, mapping, closing and crashing by several owners, memd killed and started
again, buffers written off; and the books agree at every step.

Not on the bus and not on a real heap, but with real memfds and real references of every kind.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import subprocess
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from memd.early import ZramSettings
from memd.errors import NoSuchBuffer, QuotaExceeded
from memd.kernel.fdstore import FdStore
from memd.kernel.root import Root
from memd.model import WRITTEN_OFF, Bounds, Caller, Config, Grant, Level, PressureSettings, Rule
from memd.service.broker import Broker
from memd.service.heaps import Heaps
from memd.service.keeper import Keeper
from tests.service.fdstores import FakeSystemd

T = TypeVar("T")
Results = MultipleResults["Reference"]
PAGE = os.sysconf("SC_PAGE_SIZE")
M = 1 << 20
OWNERS = [Caller(f":1.{uid}", uid, frozenset(), uid, f"uid:{uid}") for uid in (1000, 2000, 3000)]
ROOT = Caller(":1.0", 0, frozenset(), 1, "uid:0")
MAX_BYTES, MAX_BUFFERS, TOTAL = 8 * PAGE, 5, 16 * PAGE
RULE = Rule("all", everyone=True, heaps=frozenset({"simulated"}), max_bytes=MAX_BYTES, max_buffers=MAX_BUFFERS)
BOUNDS = Bounds(max_buffer_size=M, max_bytes=TOTAL, max_buffers=12, max_buffers_per_owner=10, floor=M)


class Reference:
    """One thing that keeps a buffer: an fd, a mapping, or an fd in flight."""

    def __init__(self, number: int, kept: ExitStack, fd: int | None = None) -> None:
        self.number, self.kept, self.fd = number, kept, fd


class Model:
    """What must be so: buffer id -> (owner, size, references)."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.owners: dict[int, str] = {}
        self.references: dict[int, int] = {}
        self.written_off: set[int] = set()

    def charged(self, owner: str) -> list[int]:
        return [number for number in self.alive(owner) if number not in self.written_off]

    def alive(self, owner: str | None = None) -> list[int]:
        return [number for number, count in self.references.items() if count and owner in {None, self.owners[number]}]

    def fits(self, owner: str, sizes: list[int]) -> bool:
        own, everyone = self.charged(owner), self.alive()
        return (
            sum(self.sizes[number] for number in own) + sum(sizes) <= MAX_BYTES
            and len(own) + len(sizes) <= MAX_BUFFERS
            and sum(self.sizes[number] for number in everyone) + sum(sizes) <= TOTAL
            and len(everyone) + len(sizes) <= BOUNDS.max_buffers
        )


class Lending(RuleBasedStateMachine):
    references: Bundle[Reference] = Bundle("references")

    @initialize(level=st.sampled_from([Level.NONE, Level.MEDIUM]))
    def start(self, level: Level) -> None:
        self.stack, self.model = ExitStack(), Model()
        self.loop = asyncio.new_event_loop()
        directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        (Path(directory) / "proc").mkdir()
        (Path(directory) / "proc/meminfo").write_text("MemTotal: 99999 kB\nMemFree: 9 kB\nMemAvailable: 99999 kB\n")
        config = Config((ZramSettings(),), (RULE,), BOUNDS, PressureSettings((), 4.0), ())
        self.root, self.config, self.level = Root(directory), config, level
        self.systemd = FakeSystemd(Path(directory))
        self.stack.callback(self.systemd.close)
        self.broker = self.started()

    def started(self) -> Broker:
        keeper = Keeper(FdStore(self.systemd.address), self.systemd.passes(), lambda _event: None)
        heaps = Heaps(self.root, True, {}, ())
        return Broker(self.root, self.config, heaps, lambda _event: None, lambda: self.level, keeper=keeper)

    @rule()
    def memd_is_killed(self) -> None:
        """Nothing is told to anybody; systemd keeps what it has, and the next memd goes on with it."""
        self.run(self.broker.close())
        self.broker = self.started()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    @rule(target=references, caller=st.sampled_from(OWNERS), pages=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def borrow(self, caller: Caller, pages: list[int]) -> Results:
        sizes = [count * PAGE for count in pages]
        fits = self.model.fits(caller.owner, sizes)
        try:
            grants = self.run(self.broker.allocate(caller, "simulated", sizes, "x"))
        except QuotaExceeded:
            assert not fits
            return multiple()
        assert fits
        return multiple(*self.lent(caller, grants))

    @rule(target=references, caller=st.sampled_from(OWNERS), pages=st.integers(1, 2))
    def borrow_to_the_brim(self, caller: Caller, pages: int) -> Results:
        """Each that fits is served and the first that does not is refused, whichever cap is met."""
        found: list[Reference] = []
        while self.model.fits(caller.owner, [pages * PAGE]):
            found += self.lent(caller, self.run(self.broker.allocate(caller, "simulated", [pages * PAGE], "x")))
        with pytest.raises(QuotaExceeded):
            self.run(self.broker.allocate(caller, "simulated", [pages * PAGE], "x"))
        return multiple(*found)

    @rule(
        target=references, callers=st.lists(st.sampled_from(OWNERS), min_size=2, max_size=8), pages=st.integers(1, 4)
    )
    def borrow_at_once(self, callers: list[Caller], pages: int) -> Results:
        """Whoever gets one, caps hold: how many do is not told by the order of asking."""
        asked = [self.broker.allocate(caller, "simulated", [pages * PAGE], "x") for caller in callers]

        async def together() -> list[object]:
            return await asyncio.gather(*asked, return_exceptions=True)

        found = []
        for caller, outcome in zip(callers, self.run(together()), strict=True):
            if isinstance(outcome, QuotaExceeded):
                continue
            assert isinstance(outcome, list), outcome
            [grant] = outcome
            assert self.model.fits(caller.owner, [grant.size])
            self.model.sizes[grant.id], self.model.owners[grant.id] = grant.size, caller.owner
            found.append(self.kept(grant.id, grant.fd))
        return multiple(*found)

    @rule(callers=st.lists(st.sampled_from(OWNERS), min_size=1, max_size=4), turns=st.integers(0, 6))
    def borrow_and_go_away(self, callers: list[Caller], turns: int) -> None:
        """Cancelled at some step: neither an fd nor a charge is left, unless the answer was there before."""

        async def cancelled() -> None:
            tasks = [asyncio.create_task(self.broker.allocate(one, "simulated", [PAGE], "x")) for one in callers]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                for grant in outcome if isinstance(outcome, list) else ():
                    os.close(grant.fd)
            async with asyncio.timeout(10):
                while self.broker._ledger.pending():  # one may still be in the worker's hands
                    await asyncio.sleep(0.001)

        self.run(cancelled())

    @rule(target=references, reference=references)
    def duplicate(self, reference: Reference) -> Results:
        return multiple() if reference.fd is None else multiple(self.kept(reference.number, os.dup(reference.fd)))

    @rule(target=references, reference=references)
    def map(self, reference: Reference) -> Results:
        if reference.fd is None:
            return multiple()
        kept = ExitStack()
        kept.enter_context(mmap.mmap(reference.fd, PAGE))
        return multiple(self.count(reference.number, kept))

    @rule(target=references, reference=references)
    def send(self, reference: Reference) -> Results:
        if reference.fd is None:
            return multiple()
        kept = ExitStack()
        near, far = socket.socketpair()
        kept.callback(near.close)
        kept.callback(far.close)
        socket.send_fds(near, [b"x"], [reference.fd])
        return multiple(self.count(reference.number, kept))

    @rule(target=references, reference=references)
    def hand_to_a_process(self, reference: Reference) -> Results:
        """It lets go when it is killed."""
        if reference.fd is None:
            return multiple()
        process = subprocess.Popen(["sleep", "1000"], pass_fds=[reference.fd])
        kept = ExitStack()
        kept.callback(process.wait)
        kept.callback(process.kill)
        return multiple(self.count(reference.number, kept))

    @rule(reference=references)
    def write_off(self, reference: Reference) -> None:
        written = self.run(self.broker.write_off(reference.number))
        assert written.owner == self.model.owners[reference.number]
        self.model.written_off.add(reference.number)

    @rule(number=st.integers(1, 100))
    def write_off_what_is_gone(self, number: int) -> None:
        if number in self.model.alive():
            return
        with pytest.raises(NoSuchBuffer):
            self.run(self.broker.write_off(number))

    @rule(reference=consumes(references))
    def give_back(self, reference: Reference) -> None:
        reference.kept.close()
        self.model.references[reference.number] -= 1

    @rule(caller=st.sampled_from(OWNERS), pages=st.integers(1, 9))
    def ask_first(self, caller: Caller, pages: int) -> None:
        verdict, _ = self.run(self.broker.can_allocate(caller, "simulated", pages * PAGE))

        assert verdict.allowed == self.model.fits(caller.owner, [pages * PAGE])

    @rule(caller=st.sampled_from([*OWNERS, ROOT]))
    def list_buffers(self, caller: Caller) -> None:
        buffers, after = self.run(self.broker.buffers(caller))

        expected = sorted(self.model.alive(None if caller is ROOT else caller.owner))
        assert ([buffer.id for buffer in buffers], after) == (expected, None)
        assert [buffer.size for buffer in buffers] == [self.model.sizes[number] for number in expected]
        assert {one.id for one in buffers if one.state == WRITTEN_OFF} == self.model.written_off.intersection(expected)
        for owner, used in self.broker._ledger.charged().items() if caller is ROOT else ():
            charged = self.model.charged(owner)
            assert used == (sum(self.model.sizes[number] for number in charged), len(charged))

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "broker"):
            return
        self.systemd.kept()
        alive = self.model.alive()
        lent = self.run(self.broker.lent()) if len(self.model.references) % 3 == 0 else None
        assert lent is None or lent.get("simulated", (0, 0)) == (
            sum(self.model.sizes[one] for one in alive),
            len(alive),
        )
        assert self.broker._ledger.pending() == 0

    def lent(self, caller: Caller, grants: list[Grant]) -> list[Reference]:
        for grant in grants:
            self.model.sizes[grant.id], self.model.owners[grant.id] = grant.size, caller.owner
        return [self.kept(grant.id, grant.fd) for grant in grants]

    def kept(self, number: int, fd: int) -> Reference:
        kept = ExitStack()
        kept.callback(os.close, fd)
        return self.count(number, kept, fd)

    def count(self, number: int, kept: ExitStack, fd: int | None = None) -> Reference:
        self.model.references[number] = self.model.references.get(number, 0) + 1
        self.stack.callback(kept.close)
        return Reference(number, kept, fd)

    def teardown(self) -> None:
        if hasattr(self, "broker"):
            self.run(self.broker.close())
            self.stack.close()
            self.run(self.loop.shutdown_default_executor())
            self.loop.close()


def test_the_books_agree_with_the_model() -> None:
    run_state_machine_as_test(Lending, settings=settings(max_examples=30, stateful_step_count=30, deadline=None))
