"""The books against the kernel: real memfds, and eventfds in place of dma-bufs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from memd.early import replace
from memd.errors import Busy, NoSuchBuffer
from memd.kernel import simheap
from memd.model import Buffer, Caller, Heap, HeapKind, Usage
from memd.service import alive, sets
from memd.service.alive import Watched
from memd.service.ledger import Ledger

SYSTEM = Heap("system", HeapKind.SYSTEM)
SIMULATED = Heap("simulated", HeapKind.SIMULATED)
CMA = Heap("default_cma_region", HeapKind.CMA, region="reserved")
CALLER = Caller(":1.5", 1000, frozenset(), 77, "uid:1000")
PAGE = 4096


@pytest.fixture
async def books() -> AsyncIterator[Ledger]:
    one = Ledger()
    yield one
    await one.close()


def make(heap: Heap) -> int:
    return simheap.allocate(PAGE) if heap.kind is HeapKind.SIMULATED else os.eventfd(0)


def lend(
    books: Ledger, heap: Heap = SYSTEM, count: int = 1, caller: Caller = CALLER
) -> tuple[list[int], list[Buffer]]:
    reservation = books.reserve(caller.owner, "camera", heap, (PAGE,) * count)
    fds = [make(heap) for _ in range(count)]
    return fds, books.book(reservation, fds, caller, "label")


def close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def total(books: Ledger, owner: str = CALLER.owner) -> tuple[int, int]:
    usage = books.usage(owner, "camera", {"system", "simulated"})
    assert usage.total_bytes == usage.rule_bytes
    return usage.total_bytes, usage.total_buffers


def test_a_reservation_is_charged_at_once_and_given_back(books: Ledger) -> None:
    reservation = books.reserve("uid:1000", "camera", SYSTEM, (PAGE, 2 * PAGE))

    assert books.usage("uid:1000", "camera", {"system"}) == Usage(*(3 * PAGE, 2) * 4)
    assert books.usage("uid:1", "other", {"system"}) == Usage(total_bytes=3 * PAGE, total_buffers=2)
    assert books.usage("uid:1000", "camera", {"reserved"}).share_bytes == 0
    assert books.pending() == books.pending("system") == 3 * PAGE
    assert books.pending("reserved") == 0

    books.give_back(reservation)
    assert books.usage("uid:1000", "camera", {"system"}) == Usage()
    assert books.pending() == 0


def test_caps_go_by_area(books: Ledger) -> None:
    books.reserve("uid:1000", "camera", CMA, (PAGE,))

    assert books.usage("uid:1000", "camera", {"reserved"}).share_bytes == PAGE


def test_the_area_of_a_request_is_counted_by_owner_and_by_rule(books: Ledger) -> None:
    books.reserve("uid:1000", "camera", CMA, (PAGE,))
    books.reserve("uid:1000", "other", CMA, (2 * PAGE,))
    books.reserve("uid:2000", "camera", CMA, (4 * PAGE,))
    books.reserve("uid:1000", "camera", SYSTEM, (8 * PAGE,))

    usage = books.usage("uid:1000", "camera", (), CMA.area)
    assert (usage.area_bytes, usage.rule_area_bytes) == (3 * PAGE, 5 * PAGE)


@pytest.mark.parametrize("heap", [SYSTEM, SIMULATED], ids=lambda heap: heap.name)
async def test_the_last_close_gives_back(books: Ledger, heap: Heap) -> None:
    fds, buffers = lend(books, heap, 3)
    other = os.dup(fds[0])
    close(fds)

    await books.refresh([CALLER.owner])
    assert list(books.buffers()) == buffers[:1]
    assert total(books) == (PAGE, 1)

    os.close(other)
    await books.refresh()
    assert total(books) == (0, 0)
    assert books.lent() == {}


async def test_a_buffer_is_known_by_id_device_and_inode(books: Ledger) -> None:
    fds, [one, two] = lend(books, SIMULATED, 2)

    assert (two.id, two.owner, two.uid, two.pid, two.label) == (one.id + 1, "uid:1000", 1000, 77, "label")
    assert [(buffer.device, buffer.inode) for buffer in (one, two)] == [
        (status.st_dev, status.st_ino) for status in map(os.fstat, fds)
    ]
    assert (one.heap, one.area, one.rule, one.size, one.state) == ("simulated", "simulated", "camera", PAGE, "lent")
    assert books.lent() == {"simulated": (2 * PAGE, 2)}
    close(fds)


async def test_what_is_written_off_counts_for_all_and_for_nobody(books: Ledger) -> None:
    fds, [one, two] = lend(books, count=2)

    assert books.write_off(one.id) == books.write_off(one.id) == one._replace(state="written-off")

    assert books.usage(CALLER.owner, "camera", {"system"}) == Usage(2 * PAGE, 2, *(PAGE, 1) * 3)
    assert [buffer.state for buffer in books.buffers()] == ["written-off", "lent"]
    assert books.lent() == {"system": (2 * PAGE, 2)}
    os.close(fds[0])
    await books.refresh()
    assert list(books.buffers()) == [two]
    assert books.usage(CALLER.owner, "camera", {"system"}) == Usage(*(PAGE, 1) * 4)
    with pytest.raises(NoSuchBuffer, match="buffer 1 is not lent, or no longer"):
        books.write_off(one.id)
    os.close(fds[1])


async def test_a_grant_that_fits_reads_nothing(books: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_self: object) -> set[int]:
        raise AssertionError("the kernel was asked")

    monkeypatch.setattr("memd.kernel.weakref.EpollSet.alive", read)

    for _ in range(100):
        close(lend(books)[0])

    assert total(books) == (100 * PAGE, 100)


async def test_failed_booking_books_nothing(books: Ledger) -> None:
    """A memfd can't be put into epoll: the kernel's refusal in the middle of a request."""
    reservation = books.reserve("uid:1000", "camera", SYSTEM, (PAGE, PAGE))
    fds = [os.eventfd(0), simheap.allocate(PAGE)]

    with pytest.raises(PermissionError):
        books.book(reservation, fds, CALLER, "")

    assert list(books.buffers()) == []
    assert total(books) == (2 * PAGE, 2)
    books.give_back(reservation)
    close(fds)
    await books.refresh()
    assert total(books) == (0, 0)


async def test_only_the_owners_asked_for_are_read(books: Ledger) -> None:
    other = replace(CALLER, owner="uid:2000")
    close(lend(books)[0])
    close(lend(books, caller=other)[0])

    await books.refresh(["uid:2000"])

    assert [buffer.owner for buffer in books.buffers()] == ["uid:1000"]


async def test_owners_are_bounded(books: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MAX_OWNERS", 3)
    fds, _ = lend(books, caller=replace(CALLER, owner="uid:1"))
    close(lend(books, caller=replace(CALLER, owner="uid:2"))[0])
    reservation = books.reserve("uid:3", "camera", SYSTEM, (PAGE,))

    with pytest.raises(Busy):
        books.reserve("uid:4", "camera", SYSTEM, (PAGE,))
    assert total(books) == (3 * PAGE, 3)

    await books.make_room("uid:4")
    books.give_back(books.reserve("uid:4", "camera", SYSTEM, (PAGE,)))
    with pytest.raises(Busy):
        [books.reserve(f"uid:{number}", "camera", SYSTEM, (PAGE,)) for number in (5, 6)]
    books.give_back(reservation)
    close(fds)


class Weak:
    """A weak set whose reads can be held up."""

    def __init__(self) -> None:
        self.there: set[int] = set()
        self.reads = 0

    def add(self, fd: int, number: int) -> None:
        self.there.add(number)

    def alive(self) -> set[int]:
        self.reads += 1
        return set(self.there)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


@pytest.fixture
async def watched() -> AsyncIterator[tuple[Watched, Weak]]:
    weak = Weak()
    one = Watched(weak, lambda _gone: None)
    yield one, weak
    await one.close()


async def test_reads_are_shared(watched: tuple[Watched, Weak]) -> None:
    one, weak = watched
    one.ids = weak.there = {1, 2}

    await asyncio.gather(*(one.refresh() for _ in range(50)))

    assert weak.reads <= 2


async def test_who_asks_while_a_read_runs_gets_a_later_one(
    watched: tuple[Watched, Weak], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that had begun may have missed what was closed since."""
    one, weak = watched
    monkeypatch.setattr(alive, "INLINE", -1)
    one.ids, weak.there = {1}, {1}
    release = asyncio.Event()

    async def in_a_thread(read: object) -> set[int]:
        weak.reads += 1
        before = set(weak.there)
        await release.wait()
        return before

    monkeypatch.setattr(asyncio, "to_thread", in_a_thread)
    first = asyncio.create_task(one.refresh())
    while not weak.reads:
        await asyncio.sleep(0)
    weak.there = set()
    second = asyncio.create_task(one.refresh())
    await asyncio.sleep(0)
    release.set()
    await first
    await second

    assert one.ids == set()
    assert weak.reads == 2


async def test_one_who_keeps_asking_in_vain_waits_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: a read takes 1 s, and rests follow one that gave nothing back."""
    weak, now, rests = Weak(), [0.0], []

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    async def sleep(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    one = Watched(weak, lambda _gone: None, clock)
    one.ids, weak.there = {1, 2}, {1, 2}
    monkeypatch.setattr(alive, "LONGEST_REST", 100.0)
    await one.refresh()
    await one.refresh()
    weak.there = {1}
    await one.refresh()
    weak.there = set()
    await one.refresh()

    assert [rest > 0 for rest in rests] == [False, True, True, False]
    await one.close()


async def test_a_cancelled_refresh_loses_nothing(watched: tuple[Watched, Weak]) -> None:
    one, weak = watched
    one.ids, weak.there = {1, 2}, {1}
    task = asyncio.create_task(one.refresh())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await one.refresh()
    assert one.ids == {1}


async def test_a_kernel_that_cant_be_asked_is_told_and_asked_again(
    watched: tuple[Watched, Weak], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, weak = watched
    one.ids = {1}

    def broken() -> set[int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(weak, "alive", broken)
    with pytest.raises(OSError, match="Too many"):
        await one.refresh()
    monkeypatch.undo()

    await one.refresh()
    assert one.ids == set()
