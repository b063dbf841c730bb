"""The counter says what the broker would, sooner or not at all. That all of lending holds over it is test_broker's by parametrisation."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.bus.lane import Lanes
from memd.early import replace
from memd.errors import LimitsExceeded, NoMemory, NotAllowed, PressureTooHigh
from memd.kernel.root import Root
from memd.model import AreaCap, Bounds, Heap, HeapKind, Level, Memory, Request, Rule
from memd.policy import admission
from memd.service.charges import Charges, Reservation
from memd.service.counter import PART, Customer
from tests.bus.far import Far
from tests.service.test_broker import BOUNDS, CAMERA, MEMINFO, OTHER, PAGE, RULE, STRANGER, Desk, LaneDesk, M, close

Put = Callable[[str, str | bytes], None]
HEAP = Heap("system", HeapKind.SYSTEM)


@pytest.fixture
async def desk(root: Root, put: Put) -> AsyncIterator[Desk]:
    put("proc/meminfo", MEMINFO)
    one = Desk(root)
    yield one
    await one.close()


@pytest.fixture
async def lanes(root: Root, put: Put) -> AsyncIterator[LaneDesk]:
    put("proc/meminfo", MEMINFO)
    one = LaneDesk(root)
    yield one
    await one.close()


async def customer(desk: Desk) -> Customer:
    """Of somebody who has borrowed before."""
    close([await desk.one()])
    return desk.broker.counter.customer(CAMERA)


async def test_a_newcomer_is_the_brokers(desk: Desk) -> None:
    """His set may take its time to be kept."""
    new = desk.broker.counter.customer(CAMERA)
    asked = new.ask("simulated", [PAGE])
    assert asked
    assert new.lend(asked) is None
    close([await desk.one()])
    close(new.lend(asked) or [])
    assert (await desk.held()) == []


async def test_a_look_at_memory_is_good_for_a_while_and_for_a_part(desk: Desk, put: Put) -> None:
    desk.broker.counter.good_for = 3600.0
    one = await customer(desk)
    asked, large = one.ask("simulated", [PAGE]), one.ask("simulated", [8 * M])
    assert asked
    assert large
    close(one.lend(asked) or [])
    put("proc/meminfo", MEMINFO.replace("MemAvailable: 524288", "MemAvailable: 1"))

    room = (512 - 64) * M // PART
    for _ in range((room - PAGE) // (8 * M)):
        close(one.lend(large) or [])
    with pytest.raises(NoMemory, match="1K available outside CMA"):  # it was looked at anew
        one.lend(large)
    desk.configure()
    with pytest.raises(NoMemory):
        one.lend(asked)


async def test_refusals_that_nothing_would_change_are_told_at_once(desk: Desk) -> None:
    one = await customer(desk)
    stranger = desk.broker.counter.customer(STRANGER)
    asked = stranger.ask("simulated", [PAGE])
    assert asked
    with pytest.raises(NotAllowed, match=r"no \[Allow\] rule lets uid:3000 use heap simulated"):
        stranger.lend(asked)
    asked = one.ask("simulated", [65 * M])
    assert asked
    with pytest.raises(LimitsExceeded):
        one.lend(asked)
    desk.level = Level.CRITICAL
    asked = one.ask("simulated", [PAGE])
    assert asked
    with pytest.raises(PressureTooHigh):
        one.lend(asked)
    assert [event.fields["MEMD_OWNER"] for event in desk.told] == ["uid:3000", "uid:1000", "uid:1000"]


async def test_what_may_come_back_is_asked_of_the_broker(desk: Desk) -> None:
    desk.configure(replace(RULE, max_buffers=1))
    one = await customer(desk)
    asked = one.ask("simulated", [PAGE])
    assert asked
    assert one.lend(asked) is None  # the one in the books is gone, and only the kernel knows
    desk.level = Level.LOW
    assert one.lend(asked) is None
    assert desk.told == []


async def test_what_was_worked_out_ends_with_what_it_stands_on(desk: Desk, put: Put) -> None:
    one = await customer(desk)
    asked = one.ask("simulated", [PAGE])
    assert asked
    assert one.fresh(asked)
    put("dev/dma_heap/reserved", "")
    desk.heaps.look()
    assert not one.fresh(asked)
    asked = one.ask("simulated", [PAGE])
    assert asked
    desk.configure(replace(RULE, users=frozenset()))
    assert not one.fresh(asked)
    contiguous = one.ask("contiguous", [PAGE])
    assert contiguous
    assert one.lend(contiguous) is None  # a CMA area may keep its callers waiting


AREAS = st.sampled_from(["system", "a", "b"])
LIMIT = st.none() | st.integers(0, 30)
CHARGES = st.lists(
    st.tuples(st.sampled_from("xy"), st.sampled_from(["one", "two"]), AREAS, st.integers(1, 9)), max_size=8
)


@given(CHARGES, st.lists(LIMIT, min_size=7, max_size=7), st.integers(1, 9), st.integers(1, 3), st.sets(AREAS))
def test_it_is_admission_that_says_what_fits(
    charges: list[tuple[str, str, str, int]], limits: list[int | None], size: int, count: int, named: set[str]
) -> None:
    accounts = Charges()
    for owner, by, area, charged in charges:
        accounts.reserve(Reservation(owner, by, Heap(area, HeapKind.SYSTEM), (charged,), charged))
    caps = [(AreaCap("system", limit),) if limit is not None else () for limit in limits[:2]]
    rule = Rule(
        "one", everyone=True, heaps=frozenset(named | {"system"}), max_bytes_in=caps[0], total_bytes_in=caps[1], max_bytes=limits[2],
        max_buffers=limits[3], total_bytes=limits[4], total_buffers=limits[5],
    )  # fmt: skip
    bounds = Bounds(10**6, limits[6] if limits[6] is not None else 10**6, 8, 5, 0)
    areas = named | {"system"}
    bound = accounts.limits(admission.caps(rule, bounds, HEAP, 10**6), "x", "one", areas, "system")

    verdict = admission.decide(
        rule,
        bounds,
        accounts.usage("x", "one", areas, "system"),
        Request(HEAP, (size,) * count),
        Memory(10**6, 10**6),
        Level.NONE,
    )
    assert accounts.fits(bound, size * count, count) is verdict.allowed


async def test_two_threads_never_pass_a_cap(desk: Desk) -> None:
    """The loop and the lane's thread, as fast as each can, for one cap; all that was granted is in the books."""
    desk.configure(replace(RULE, max_buffers=60), replace(BOUNDS, max_buffers=90))
    one = await customer(desk)
    asked = one.ask("simulated", [PAGE])
    assert asked
    granted = []

    def lane() -> None:
        for _ in range(100):
            granted.extend(one.lend(asked) or [])

    thread = threading.Thread(target=lane)
    thread.start()
    outcomes = await asyncio.gather(*(desk.one(OTHER) for _ in range(100)), return_exceptions=True)
    await asyncio.to_thread(thread.join)
    others = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]

    assert await desk.held() == sorted(grant.id for grant in [*granted, *others])
    assert len(granted) <= 60
    assert len(others) <= 60
    assert len(granted) + len(others) <= 90
    close([*granted, *others])
    assert await desk.held() == []


async def test_a_lane_ends_when_no_rule_is_left_for_its_owner(lanes: LaneDesk) -> None:
    close([await lanes.one(), await lanes.one(OTHER)])
    lanes.configure(replace(RULE, users=frozenset({2000})))
    lanes.lanes.configure()

    with pytest.raises(EOFError):
        await lanes.far[CAMERA.name].ended()
    close([await lanes.one(OTHER)])
    with pytest.raises(NotAllowed):
        lanes.lanes.open(CAMERA, os.pidfd_open(os.getpid()))


async def test_a_lane_closed_by_its_client_takes_what_waits_with_it(root: Root, put: Put) -> None:
    put("proc/meminfo", MEMINFO)
    desk = Desk(root)
    desk.level = Level.LOW
    lanes = Lanes(desk.broker)
    far = Far(lanes.open(CAMERA, os.pidfd_open(os.getpid())))
    asked = [asyncio.ensure_future(far.allocate("simulated", [PAGE])) for _ in range(20)]
    await asyncio.sleep(0)
    far.close()
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await lanes.close()
    assert await desk.held() == []
    await desk.close()
