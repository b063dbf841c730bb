"""The ledger over the ends of its process: whatever a kill leaves, what was handed out is charged again, and nothing else.

An end is simulated by letting go of everything that the process had, without a word; eventfds stand for dma-bufs. tests/bus has the real
process, tests/vm the real systemd.
"""

from __future__ import annotations

import os
import select
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from memd.early import replace
from memd.errors import Busy, LimitsExceeded
from memd.kernel import fdstore, memfd, simheap, weakref
from memd.kernel.fdstore import FdStore, Stored
from memd.model import Buffer, Caller, Event, Heap, HeapKind
from memd.service import sets
from memd.service.keeper import Keeper
from memd.service.ledger import Ledger
from tests.service.fdstores import FakeSystemd

SYSTEM = Heap("system", HeapKind.SYSTEM)
SIMULATED = Heap("simulated", HeapKind.SIMULATED)
CALLER = Caller(":1.5", 1000, frozenset(), 77, "uid:1000")
OTHER = replace(CALLER, uid=2000, owner="uid:2000")
PAGE = 4096


class Life:
    """memd after memd, on one store. `books` is the ledger of the one that lives."""

    def __init__(self, systemd: FakeSystemd) -> None:
        self.systemd = systemd
        self.told: list[Event] = []
        self.books = self.start()

    def start(self) -> Ledger:
        self.keeper = Keeper(FdStore(self.systemd.address), self.systemd.passes(), self.told.append)
        self.books = Ledger(keeper=self.keeper)
        return self.books

    async def killed(self) -> Ledger:
        await self.books.close()  # sends nothing
        return self.start()

    def lend(self, heap: Heap = SYSTEM, count: int = 1, caller: Caller = CALLER) -> tuple[list[int], list[Buffer]]:
        reservation = self.books.reserve(caller.owner, "camera", heap, (PAGE,) * count)
        fds = [simheap.allocate(PAGE) if heap is SIMULATED else os.eventfd(0) for _ in range(count)]
        try:
            return fds, self.books.book(reservation, fds, caller, "label")
        except BaseException:
            close(fds)
            self.books.give_back(reservation)
            raise

    @property
    def last(self) -> str:
        return self.told[-1].message


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[FakeSystemd]:
    one = FakeSystemd(tmp_path)
    yield one
    one.close()


@pytest.fixture
async def life(systemd: FakeSystemd) -> AsyncIterator[Life]:
    one = Life(systemd)
    yield one
    await one.books.close()


def close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def use(books: Ledger, owner: str = CALLER.owner) -> tuple[int, int, int]:
    usage = books.usage(owner, "camera", {"system", "simulated"})
    assert (usage.total_buffers, usage.owner_bytes) == (usage.rule_buffers, usage.share_bytes)
    return usage.owner_bytes, usage.owner_buffers, usage.total_buffers


async def test_a_first_start_has_nothing_to_tell(life: Life) -> None:
    assert life.told == []
    assert life.systemd.names() == ["books"]


@pytest.mark.parametrize("heap", [SYSTEM, SIMULATED], ids=lambda heap: heap.name)
async def test_what_is_lent_is_charged_again(life: Life, heap: Heap) -> None:
    fds, buffers = life.lend(heap, 3)
    others, more = life.lend(heap, 2, OTHER)
    close([fds.pop(0)])

    await life.killed()

    assert list(life.books.buffers()) == [*buffers[1:], *more]
    assert use(life.books) == (2 * PAGE, 2, 4)
    assert life.last == "the books are whole again: 4 buffers (16K) of 2 owners still out from before this start"
    assert life.told[-1].priority == 6
    close(fds)
    await life.books.refresh()
    assert use(life.books) == (0, 0, 2)
    close(others)
    await life.books.refresh()
    assert life.books.lent() == {}


async def test_ids_go_on_even_where_nothing_is_left(life: Life) -> None:
    fds, [*_, last] = life.lend(count=5)
    close(fds)
    await life.killed()
    fds, [first] = life.lend()
    close(fds)
    await life.killed()
    fds, [second] = life.lend(SIMULATED)
    close(fds)

    assert (first.id, second.id) == (last.id + 1, last.id + 2)


async def test_ten_lives(life: Life) -> None:
    """Old buffers, new buffers, sets that were there and new ones; and the store does not grow."""
    held: list[int] = []
    for turn in range(10):
        fds, _ = life.lend(SYSTEM, 2, replace(CALLER, owner=f"uid:{turn % 3}"))
        more, _ = life.lend(SIMULATED, 2, replace(CALLER, owner=f"uid:{turn % 3}"))
        held += fds + more
        close([held.pop(0), held.pop(0)])
        await life.killed()
        assert len(list(life.books.buffers())) == len(held)

    assert len(life.systemd.names()) <= 5
    close(held)
    await life.killed()
    assert life.systemd.names() == ["books"]
    assert life.books.lent() == {}


async def test_what_was_written_off_stays_so(life: Life) -> None:
    fds, [one, two] = life.lend(count=2)
    written = life.books.write_off(one.id)
    for _ in range(2):
        await life.killed()
        assert list(life.books.buffers()) == [written, two]
        assert life.books.usage(CALLER.owner, "camera", {"system"}).owner_bytes == PAGE
    close(fds)
    await life.books.refresh()
    assert use(life.books) == (0, 0, 0)


class End(Exception):
    """memd ends here."""


MOMENTS: dict[str, tuple[object, str]] = {
    "before the set is kept": (Keeper, "keep"),
    "before the record": (Keeper, "write"),
    "before the weak reference": (weakref.EpollSet, "add"),
    "before the reply": (Ledger, "_charge"),
}


@pytest.mark.parametrize("moment", [*MOMENTS, "after the reply"])
async def test_whatever_the_moment(life: Life, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Who got the buffer is charged for it; a buffer that nobody got leaves nothing."""

    def end(*_: object) -> None:
        raise End

    held, _ = life.lend(caller=OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "forget", lambda *_: None)  # a killed one takes nothing back
        if moment == "before the reply":
            fds, _ = life.lend()
            close(fds)  # they are memd's own
        elif moment in MOMENTS:
            patch.setattr(*MOMENTS[moment], end)
            with pytest.raises(End):
                life.lend()
        else:
            held += life.lend()[0]
    await life.killed()

    assert use(life.books)[2] == len(held)
    assert len(list(life.books.buffers())) == len(held)
    close(held)
    await life.books.refresh()
    assert use(life.books) == (0, 0, 0)
    assert all(event.priority == 6 for event in life.told)


async def test_a_kill_in_the_middle_of_a_request(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of its buffers are in the books and in the set; none was handed out."""
    add, count = weakref.EpollSet.add, 0

    def third(self: weakref.EpollSet, fd: int, number: int) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise End
        add(self, fd, number)

    with monkeypatch.context() as patch:
        patch.setattr(weakref.EpollSet, "add", third)
        with pytest.raises(End):
            life.lend(count=5)
    await life.killed()

    assert list(life.books.buffers()) == []
    fds, [one] = life.lend()
    assert one.id > 3
    close(fds)


async def test_an_inode_that_is_used_again_is_another_buffer(life: Life) -> None:
    fds, [one] = life.lend(SIMULATED)
    old = one._replace(id=one.id + 1, size=7 * PAGE)
    life.keeper.write(old)  # as of a buffer that had the same inode; the later record counts
    await life.killed()

    assert list(life.books.buffers()) == [old]
    close(fds)


async def test_another_inode_under_a_known_number_is_not_taken_for_it(life: Life) -> None:
    fds, [one] = life.lend()
    life.keeper.write(one._replace(inode=one.inode + 1))
    await life.killed()

    assert list(life.books.buffers()) == []
    assert life.last.endswith("1 more buffer alive that no books have, charged to nobody")
    close(fds)


async def test_garbage_for_books_is_refused_whole_and_said(life: Life) -> None:
    fds, buffers = life.lend(count=2)
    more, _ = life.lend(SIMULATED)
    fds += more
    [books] = [one for one in life.systemd.kept() if one.name == "books"]
    os.pwrite(books.fd, b"something else", 0)

    await life.killed()

    assert life.books.lent() == {}
    assert "the books that systemd kept are refused: they are no books" in life.last
    assert "3 more buffers alive that no books have" in life.last
    assert life.told[-1].priority == 4
    assert life.systemd.names() == ["books"]
    new, [next_one] = life.lend()
    assert next_one.id > buffers[-1].id, "the numbers of unknown buffers are theirs"
    close(fds + new)


STRANGE: dict[str, Callable[[], int]] = {
    "books": lambda: os.eventfd(0),
    "epoll.9": lambda: memfd.create("x", 1),
    "epoll.10": lambda: os.dup(0),
    "inotify.11": lambda: os.eventfd(0),
    "stored": lambda: os.eventfd(0),
    "": lambda: os.eventfd(0),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_what_is_none_of_memds_is_let_go(life: Life, name: str) -> None:
    fds, buffers = life.lend()
    life.systemd.kept().insert(0, Stored(name=name, fd=STRANGE[name]()))
    await life.killed()

    assert list(life.books.buffers()) == buffers
    assert name == "books" or name not in life.systemd.names()
    close(fds)


async def test_two_sets_of_one_owner_are_never_charged_twice(life: Life) -> None:
    fds, [buffer] = life.lend()
    with select.epoll() as second:
        second.register(fds[0], 0)
        life.systemd.kept().append(Stored(name="epoll.77", fd=os.dup(second.fileno())))
    await life.killed()

    assert use(life.books) == (PAGE, 1, 1)
    assert list(life.books.buffers()) == [buffer]
    close(fds)


async def test_an_owner_whose_set_systemd_does_not_take_gets_nothing(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable", "/run/systemd/notify")

    monkeypatch.setattr(fdstore.FdStore, "_send", full)
    with pytest.raises(Busy, match="systemd does not take"):
        life.lend()

    monkeypatch.undo()
    close(life.lend()[0])
    assert len(life.systemd.names()) == 2


async def test_sets_that_left_make_room_before_another_comes(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MAX_OWNERS", 1)
    for turn in range(5):
        await life.books.make_room(f"uid:{turn}")
        close(life.lend(caller=replace(CALLER, owner=f"uid:{turn}"))[0])

    assert life.systemd.names() == ["books", "epoll.5"]


async def test_a_refused_record_leaves_no_trace(life: Life) -> None:
    with pytest.raises(LimitsExceeded):
        life.lend(caller=replace(CALLER, owner="u" * 500))

    assert use(life.books, "u" * 500) == (0, 0, 0)
    await life.killed()
    assert list(life.books.buffers()) == []
