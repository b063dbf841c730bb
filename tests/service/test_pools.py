"""Pools on the broker's desk: filled by the real helper, handed out over every way, charged to the right one, and never twice."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from memd.early import replace
from memd.errors import PressureTooHigh, QuotaExceeded
from memd.kernel.root import Root
from memd.model import Bounds, Caller, Grant, Heap, Level, Pool, Rule
from memd.service import source
from tests.service.test_broker import (
    BOUNDS,
    CAMERA,
    MEMINFO,
    OTHER,
    PAGE,
    ROOT,
    RULE,
    LaneDesk,
    M,
    close,
    copies,
)

Put = Callable[[str, str | bytes], None]
SIZE = 2 * M
POOL = Pool("frames", "simulated", SIZE - 1, 4)


class PoolDesk(LaneDesk):
    over_bus = False

    async def allocate(self, caller: Caller, heap: str, sizes: Sequence[int], label: str = "") -> list[Grant]:
        if self.over_bus:
            return await self.broker.allocate(caller, heap, sizes, label)
        return await super().allocate(caller, heap, sizes, label)

    def pooled(self, *pools: Pool, rule: Rule = RULE, bounds: Bounds = BOUNDS) -> None:
        self.config = replace(self.config, pools=pools)
        self.configure(rule, bounds)

    async def ready(self, count: int, at: int = 0) -> None:
        """Wait until the pool has so many, and nothing is on its way."""
        pools = self.broker.pools
        async with asyncio.timeout(30):
            while pools.status()[at]["ready"] != count or pools._filling:
                await asyncio.sleep(0.005)

    async def states(self) -> list[tuple[str, str]]:
        buffers, _ = await self.broker.buffers(ROOT)
        return [(buffer.owner, buffer.state) for buffer in buffers]

    def total(self) -> tuple[int, int]:
        return self.broker._ledger.total()


@pytest.fixture(params=[False, True], ids=["lane", "bus"])
async def desk(request: pytest.FixtureRequest, root: Root, put: Put) -> AsyncIterator[PoolDesk]:
    put("proc/meminfo", MEMINFO)
    one = PoolDesk(root)
    one.over_bus = request.param
    close([await one.one(), await one.one(OTHER)])
    await one.broker.lent()
    one.broker.pools.start()
    yield one
    await one.close()


async def test_a_pool_is_filled_listed_and_charged(desk: PoolDesk) -> None:
    desk.pooled(POOL)
    await desk.ready(4)

    assert desk.broker.pools.status() == [
        {"name": "frames", "heap": "simulated", "size": SIZE, "count": 4, "ready": 4}
    ]
    assert await desk.states() == [("pool:frames", "pooled")] * 4
    assert desk.total() == (4 * SIZE, 4)
    assert desk.broker._ledger.charged() == {"pool:frames": (4 * SIZE, 4)}
    assert (await desk.broker.buffers(CAMERA))[0] == []


async def test_what_it_hands_out_is_its_borrowers_and_made_anew(
    desk: PoolDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.pooled(POOL)
    await desk.ready(4)
    monkeypatch.setattr(source, "allocate", None)
    grants = [await desk.one(size=SIZE), await desk.one(OTHER, size=SIZE - 5)]

    assert [os.fstat(grant.fd).st_size for grant in grants] == [SIZE, SIZE]
    assert [copies(grant.fd) for grant in grants] == [1, 1]
    assert os.pread(grants[0].fd, SIZE, 0) == bytes(SIZE)
    await desk.ready(4)
    assert sorted(await desk.states()) == [("pool:frames", "pooled")] * 4 + [
        ("uid:1000", "lent"),
        ("uid:2000", "lent"),
    ]
    assert desk.total() == (6 * SIZE, 6)
    close(grants)
    assert await desk.states() == [("pool:frames", "pooled")] * 4
    assert desk.total() == (4 * SIZE, 4)


async def test_another_size_heap_or_rule_is_none_of_its(desk: PoolDesk) -> None:
    other = replace(RULE, name="other", users=frozenset({2000}))
    desk.config = replace(
        desk.config,
        pools=(replace(POOL, rules=frozenset({"camera"})),),
        rules=(replace(RULE, users=frozenset({1000})), other),
    )
    desk.broker.configure(desk.config)
    await desk.ready(4)
    grants = [await desk.one(size=SIZE - PAGE), await desk.one(OTHER, size=SIZE)]
    assert desk.broker.pools.status()[0]["ready"] == 4
    grants.append(await desk.one(size=SIZE))
    assert desk.broker.pools.status()[0]["ready"] == 3
    close(grants)


async def test_several_at_once_or_none(desk: PoolDesk) -> None:
    desk.pooled(POOL)
    await desk.ready(4)
    grants = await desk.allocate(CAMERA, "simulated", [SIZE] * 3)
    assert len({os.fstat(grant.fd).st_ino for grant in grants}) == 3
    await desk.ready(4)
    more = await desk.allocate(CAMERA, "simulated", [SIZE] * 5)  # made for the occasion
    assert desk.broker.pools.status()[0]["ready"] == 4
    close([*grants, *more])


async def test_caps_bind_what_is_ready_too(desk: PoolDesk) -> None:
    desk.pooled(POOL, rule=replace(RULE, max_buffers=2), bounds=replace(BOUNDS, max_bytes=20 * M))
    await desk.ready(4)
    grants = [await desk.one(size=SIZE) for _ in range(2)]
    with pytest.raises(QuotaExceeded, match="the owner may have 2 buffers"):
        await desk.one(size=SIZE)
    await desk.ready(4)
    close(grants)
    close([await desk.one(size=SIZE)])
    await desk.ready(4)
    assert desk.total()[1] <= 5


async def test_the_pool_and_all_lending_have_one_bound(desk: PoolDesk) -> None:
    """It takes no more than is left, and gives room to nobody; the last of it can be had all the same."""
    desk.pooled(POOL, bounds=replace(BOUNDS, max_bytes=3 * SIZE))
    await desk.ready(3)
    grants = [await desk.one(size=SIZE) for _ in range(3)]
    with pytest.raises(QuotaExceeded, match="all owners together"):
        await desk.one(OTHER, size=SIZE)
    close(grants)
    close([await desk.one(OTHER, size=SIZE)])


async def test_pressure_shrinks_and_empties_it(desk: PoolDesk) -> None:
    desk.pooled(POOL)
    await desk.ready(4)
    pools = desk.broker.pools

    def level(now: Level) -> None:
        before, desk.level = desk.level, now
        pools.moved(now, before)

    level(Level.LOW)
    grant = await desk.one(size=SIZE)
    await desk.ready(3)
    level(Level.MEDIUM)
    await desk.ready(2)
    assert desk.total() == (3 * SIZE, 3)
    level(Level.CRITICAL)
    await desk.ready(0)
    with pytest.raises(PressureTooHigh):
        await desk.one(size=SIZE)
    assert desk.total() == (SIZE, 1)
    level(Level.NONE)
    await desk.ready(4)
    close([grant])


async def test_what_cannot_be_made_is_tried_again_when_there_is_a_reason(desk: PoolDesk, put: Put) -> None:
    put("proc/meminfo", MEMINFO.replace("MemAvailable: 524288", f"MemAvailable: {65 * 1024}"))
    desk.pooled(POOL)
    await desk.ready(0)
    put("proc/meminfo", MEMINFO)
    await asyncio.sleep(0.05)
    assert desk.broker.pools.status()[0]["ready"] == 0
    desk.broker.pools.fill()
    await desk.ready(4)


async def test_a_kernel_that_has_none(desk: PoolDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_requester: object, _heap: Heap, _sizes: Sequence[int], *, idle: bool) -> list[int]:
        assert idle
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(source, "allocate_apart", refused)
        desk.pooled(POOL)
        await desk.ready(0)
    assert desk.total() == (0, 0)
    assert desk.broker._ledger.pending() == 0


async def test_a_configuration_without_it_gives_all_back(desk: PoolDesk) -> None:
    desk.pooled(POOL, replace(POOL, name="small", size=PAGE))
    await desk.ready(4)
    await desk.ready(4, at=1)
    desk.pooled(POOL)
    await desk.ready(4)
    assert await desk.states() == [("pool:frames", "pooled")] * 4
    desk.pooled()
    assert desk.total() == (0, 0)
    assert await desk.states() == []


async def test_it_is_closed_while_it_is_being_filled(desk: PoolDesk) -> None:
    desk.pooled(replace(POOL, count=100))
    await asyncio.sleep(0.02)


async def test_many_take_and_each_gets_his_own(desk: PoolDesk) -> None:
    desk.pooled(replace(POOL, size=PAGE, count=30))
    await desk.ready(30)
    asked = [desk.one(caller, size=PAGE) for caller in (CAMERA, OTHER) for _ in range(40)]
    grants = await asyncio.gather(*asked)
    assert len({os.fstat(grant.fd).st_ino for grant in grants}) == len({grant.id for grant in grants}) == 80
    await desk.ready(30)
    assert desk.total()[1] == 110
    close(grants)
