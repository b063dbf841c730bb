"""Borrowing, mapping, passing on, closing and dying in any order, by several owners on real heaps: the ledger is what a model says."""

import contextlib
import os
import socket
from dataclasses import dataclass, field

import holders
import hypothesis.strategies as st
import people
import pytest
from borrowers import Borrower
from dmabuf import MiB
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

pytestmark = [pytest.mark.needs("heap:system", "heap:reserved"), pytest.mark.timeout(300)]

UIDS = (61001, 61002, 61003)
MAX_BYTES, MAX_BUFFERS = 3 * MiB, 5
RULES = "".join(
    f"[Allow memd-test-{uid}]\nUser={uid}\nHeaps=system contiguous\nMaxBytes={MAX_BYTES // MiB}M\nMaxBuffers={MAX_BUFFERS}\n"
    for uid in UIDS
)
SIZES = st.sampled_from([1, 4096, 4097, MiB // 2, MiB, 2 * MiB, 3 * MiB])
HEAPS = st.sampled_from(["system", "contiguous"])
WHO = st.integers(0, len(UIDS) - 1)
WHICH = st.integers(0, 1 << 16)
SOCKET = -1


@dataclass
class Lent:
    """A buffer by the model: who is charged, and who holds it how (a borrower, or SOCKET; fd, map or flight)."""

    owner: int
    size: int
    holds: set[tuple[int, str]] = field(default_factory=set)


class Ledger(RuleBasedStateMachine):
    """What the kernel does by itself, memd's books must follow without being told."""

    may_kill = False

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[int, Lent] = {}
        self.flying: dict[int, tuple[socket.socket, socket.socket]] = {}
        self.stack = contextlib.ExitStack()

    @initialize()
    def start(self) -> None:
        self.borrowers = [Borrower(uid) for uid in UIDS]
        for borrower in self.borrowers:
            self.stack.callback(borrower.end)

    @rule(who=WHO, heap=HEAPS, size=SIZES)
    def borrow(self, who: int, heap: str, size: int) -> None:
        pages = -(-size // 4096) * 4096
        mine = [lent.size for lent in self.model.values() if lent.owner == who]
        fits = sum(mine) + pages <= MAX_BYTES and len(mine) < MAX_BUFFERS
        if not fits:
            with pytest.raises(RuntimeError, match="QuotaExceeded"):
                self.borrowers[who].ask("allocate", heap, size)
            return
        number, _ = self.borrowers[who].ask("allocate", heap, size)
        self.model[number] = Lent(who, pages, {(who, "fd")})

    @precondition(lambda self: self._held("fd"))
    @rule(which=WHICH, to=WHO)
    def pass_on(self, which: int, to: int) -> None:
        number, who = self._pick("fd", which)
        if (to, "fd") not in self.model[number].holds:
            _, fd = self.borrowers[who].ask("give", number)
            assert fd is not None
            self.borrowers[to].ask("take", number, fd=fd)
            os.close(fd)
            self.model[number].holds.add((to, "fd"))

    @precondition(lambda self: self._held("fd"))
    @rule(which=WHICH)
    def send_into_a_socket(self, which: int) -> None:
        number, who = self._pick("fd", which)
        if number not in self.flying:
            _, fd = self.borrowers[who].ask("give", number)
            assert fd is not None
            self.flying[number] = holders.pair()
            socket.send_fds(self.flying[number][0], [b"1"], [fd])
            os.close(fd)
            self.model[number].holds.add((SOCKET, "flight"))

    @precondition(lambda self: self._held("flight"))
    @rule(which=WHICH)
    def close_the_socket(self, which: int) -> None:
        number, _ = self._pick("flight", which)
        for end in self.flying.pop(number):
            end.close()
        self._drop(number, (SOCKET, "flight"))

    @precondition(lambda self: self._held("fd"))
    @rule(which=WHICH)
    def map(self, which: int) -> None:
        number, who = self._pick("fd", which)
        if (who, "map") not in self.model[number].holds:
            self.borrowers[who].ask("map", number)
            self.model[number].holds.add((who, "map"))

    @precondition(lambda self: self._held("map"))
    @rule(which=WHICH)
    def unmap(self, which: int) -> None:
        number, who = self._pick("map", which)
        self.borrowers[who].ask("unmap", number)
        self._drop(number, (who, "map"))

    @precondition(lambda self: self._held("fd"))
    @rule(which=WHICH)
    def close(self, which: int) -> None:
        number, who = self._pick("fd", which)
        self.borrowers[who].ask("close", number)
        self._drop(number, (who, "fd"))

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        self.borrowers[who].crash()
        for number in list(self.model):
            for hold in [hold for hold in self.model[number].holds if hold[0] == who]:
                self._drop(number, hold)

    @precondition(lambda self: self.may_kill)
    @rule()
    def kill_memd(self) -> None:
        people.kill_memd()
        for borrower in self.borrowers:
            borrower.ask("again")

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        wanted = {number: (f"uid:{UIDS[lent.owner]}", lent.size, "lent") for number, lent in self.model.items()}
        assert {row["id"]: (row["owner"], row["size"], row["state"]) for row in people.buffers()} == wanted

    def teardown(self) -> None:
        for ends in self.flying.values():
            for end in ends:
                end.close()
        self.stack.close()

    def _held(self, how: str) -> list[tuple[int, int]]:
        return [
            (number, who) for number, lent in self.model.items() for who, kind in sorted(lent.holds) if kind == how
        ]

    def _pick(self, how: str, which: int) -> tuple[int, int]:
        held = self._held(how)
        return held[which % len(held)]

    def _drop(self, number: int, hold: tuple[int, str]) -> None:
        self.model[number].holds.discard(hold)
        if not self.model[number].holds:
            del self.model[number]


class MortalLedger(Ledger):
    """The same while memd itself is killed."""

    may_kill = True


def run(machine: type[Ledger], examples: int, steps: int) -> None:
    told = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    with people.known(UIDS), people.rules(RULES):
        run_state_machine_as_test(machine, settings=told)
    assert people.buffers() == []


@pytest.mark.long
def test_ledger_and_model_agree_at_every_step() -> None:
    run(Ledger, 4, 30)


@pytest.mark.long
@pytest.mark.machines("x86_64-cma", "x86_64-6.1", "arm64")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("machine", [Ledger, MortalLedger])
def test_ledger_and_model_agree_for_long(machine: type[Ledger]) -> None:
    run(machine, 40 if machine is Ledger else 6, 50)
