"""The ledger where the kernel counts what an area was given back: eventfds stand for buffers, and the test for the area."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from memd.early import replace
from memd.model import Buffer, Caller, Heap, HeapKind
from memd.service import releasing
from memd.service.ledger import Ledger

CMA = Heap("contiguous", HeapKind.CMA, region="reserved")
SYSTEM = Heap("system", HeapKind.SYSTEM)
CALLER = Caller(":1.5", 1000, frozenset(), 77, "uid:1000")
OTHER = replace(CALLER, uid=2000, owner="uid:2000")
PAGE = 4096


class Area:
    """`released`: bytes since boot, as the kernel has them."""

    def __init__(self) -> None:
        self.released: int | None = 100 * PAGE
        self.books = Ledger(released=lambda area: self.released if area == "reserved" else None)

    def lend(self, caller: Caller = CALLER, heap: Heap = CMA, size: int = PAGE) -> tuple[int, Buffer]:
        reservation = self.books.reserve(caller.owner, "camera", heap, (size,))
        fd = os.eventfd(0)
        [buffer] = self.books.book(reservation, [fd], caller, "")
        return fd, buffer

    def give_back(self, size: int = PAGE) -> None:
        assert self.released is not None
        self.released += size

    def close(self, fd: int, size: int = PAGE) -> None:
        """As an honest program does: its memory goes with its file."""
        os.close(fd)
        self.give_back(size)

    def states(self) -> list[tuple[int, str]]:
        return [(buffer.id, buffer.state) for buffer in self.books.buffers()]

    def use(self, owner: str = CALLER.owner) -> int:
        return self.books.usage(owner, "camera", {"reserved", "system"}).owner_bytes


@pytest.fixture
async def area(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Area]:
    monkeypatch.setattr(releasing, "WAITS", (0.0, 0.0))
    one = Area()
    yield one
    await one.books.close()


async def test_honest_closing_gives_back_at_once(area: Area) -> None:
    fds = [area.lend(caller)[0] for caller in (CALLER, OTHER, CALLER)]
    for fd in fds:
        area.close(fd)
        await area.books.refresh()

    assert area.states() == []


async def test_what_is_hidden_is_charged_until_it_is_seen_back(area: Area) -> None:
    fd, buffer = area.lend()
    kept, other = area.lend(OTHER)
    os.close(fd)
    for _ in range(3):
        await area.books.refresh([CALLER.owner])
        assert area.states() == [(buffer.id, "releasing"), (other.id, "lent")]
        assert (area.use(), area.use(OTHER.owner)) == (PAGE, PAGE)
        assert area.books.lent() == {"contiguous": (2 * PAGE, 2)}

    area.give_back()
    await area.books.refresh([CALLER.owner])
    assert area.states() == [(other.id, "lent")]
    assert area.use() == 0
    area.close(kept)
    await area.books.refresh()
    assert area.states() == []


async def test_an_honest_owner_is_not_charged_for_one_who_hides(area: Area) -> None:
    """Both closed between two looks, and later ones too."""
    hidden, _ = area.lend(size=2 * PAGE)
    os.close(hidden)
    fds = [area.lend(OTHER)[0] for _ in range(3)]
    area.close(fds[0])
    await area.books.refresh([OTHER.owner])
    assert (area.use(), area.use(OTHER.owner)) == (2 * PAGE, 2 * PAGE)
    for fd in fds[1:]:
        area.close(fd)
        await area.books.refresh([OTHER.owner])

    assert (area.use(), area.use(OTHER.owner)) == (2 * PAGE, 0)
    area.give_back(2 * PAGE)
    await area.books.refresh()
    assert area.states() == []


async def test_pages_that_come_a_little_later_are_waited_for(area: Area, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes the entry out of its set first. Who asks right after closing has his quota back."""
    fd, _ = area.lend()
    os.close(fd)
    sleep = asyncio.sleep

    async def meanwhile(seconds: float) -> None:
        area.released = 101 * PAGE
        await sleep(seconds)

    monkeypatch.setattr("memd.service.releasing.asyncio.sleep", meanwhile)
    await area.books.refresh([CALLER.owner])

    assert area.states() == []


async def test_what_drivers_give_back_blurs_one_look_only(area: Area) -> None:
    fd, _ = area.lend()
    os.close(fd)
    area.give_back(50 * PAGE)
    await area.books.refresh()
    assert area.states() == [], "it may be back: nothing is proved"

    area.give_back(50 * PAGE)
    fd, buffer = area.lend()
    await area.books.refresh()
    os.close(fd)
    await area.books.refresh()
    assert area.states() == [(buffer.id, "releasing")]
    area.give_back()
    await area.books.refresh()
    assert area.states() == []


async def test_what_the_kernel_gave_and_nobody_took_is_no_ones(area: Area) -> None:
    reservation = area.books.reserve(CALLER.owner, "camera", CMA, (PAGE,))
    fd = os.eventfd(0)
    area.close(fd)
    area.books.had(reservation)
    area.books.give_back(reservation)
    hidden, buffer = area.lend()
    os.close(hidden)
    await area.books.refresh()

    assert area.states() == [(buffer.id, "releasing")]
    area.give_back()
    await area.books.refresh()


async def test_written_off_it_is_still_there(area: Area) -> None:
    fd, buffer = area.lend()
    os.close(fd)
    await area.books.refresh()
    area.books.write_off(buffer.id)
    await area.books.refresh()

    assert area.states() == [(buffer.id, "written-off")]
    usage = area.books.usage(CALLER.owner, "camera", {"reserved"})
    assert (usage.owner_bytes, usage.total_bytes) == (0, PAGE)
    area.give_back()
    await area.books.refresh()
    assert area.books.usage(CALLER.owner, "camera", {"reserved"}).total_bytes == 0


@pytest.mark.parametrize("heap", [CMA, SYSTEM], ids=lambda heap: heap.name)
async def test_where_nothing_is_counted_the_last_close_gives_back(area: Area, heap: Heap) -> None:
    area.released = None
    fd, _ = area.lend(heap=heap)
    await area.books.refresh()
    os.close(fd)
    await area.books.refresh()

    assert area.states() == []


async def test_a_count_that_stops_lets_all_go(area: Area) -> None:
    fd, _ = area.lend()
    os.close(fd)
    await area.books.refresh()
    area.released = None
    await area.books.refresh()

    assert area.states() == []
