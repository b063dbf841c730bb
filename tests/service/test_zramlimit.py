"""The alarm of MemLimit=: once, before the limit bites, and no timer where there is no limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import ZramStat
from memd.kernel.root import Root
from memd.model import Event, Level
from memd.names import MESSAGE_ZRAM_LIMIT
from memd.policy import zramlimit
from memd.service.zramlimit import ZramLimit

Put = Callable[[str, str | bytes], None]


def stat(used: int, limit: int = 100) -> ZramStat:
    return ZramStat(
        name="zram0", disksize=1, initstate=True, algorithm="a", algorithms=("a",), mem_used=used, mem_limit=limit
    )


@given(st.lists(st.integers(0, 110), max_size=30))
def test_told_once_until_it_has_been_far_below(uses: list[int]) -> None:
    told: frozenset[str] = frozenset()
    armed = True
    for used in uses:
        now, told = zramlimit.close([stat(used)], told)
        assert bool(now) == (armed and used >= 90)
        armed = used < 80 or (armed and used < 90)


def test_without_a_limit_nothing_is_close() -> None:
    assert zramlimit.close([stat(1000, 0)], frozenset()) == ((), frozenset())


def machine(put: Put, used: int, limit: int) -> None:
    for name, text in {
        "initstate": "1",
        "disksize": "1048576",
        "comp_algorithm": "[lz4]",
        "mm_stat": f"0 0 {used} {limit} 0 0 0 0 0",
    }.items():
        put(f"sys/block/zram0/{name}", text)


@pytest.mark.usefixtures("no_task_left")
async def test_told_to_the_journal(root: Root, put: Put) -> None:
    events: list[Event] = []
    machine(put, 950_000, 1_000_000)
    limit = ZramLimit(root, events.append)

    for _ in range(2):
        limit.stalled(Level.LOW)
        await asyncio.sleep(0.05)
    machine(put, 950_000, 0)
    limit.moved(Level.NONE, Level.LOW)
    await asyncio.sleep(0.05)
    await limit.stop()

    (event,) = events
    assert event.message_id == MESSAGE_ZRAM_LIMIT
    assert event.message.startswith("zram: zram0 takes 928K, 95% of its MemLimit= of 977K")


@pytest.mark.usefixtures("no_task_left")
async def test_a_timer_only_where_there_is_a_limit(root: Root, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, *_: timers.append(delay))
    limit = ZramLimit(root, lambda _: None)
    machine(put, 1, 0)
    limit.look()
    await limit._looking  # type: ignore[misc]
    assert timers == []
    machine(put, 1, 100)
    limit.look()
    await limit._looking  # type: ignore[misc]
    assert timers == [60.0]
    await limit.stop()


@pytest.mark.usefixtures("no_task_left")
async def test_garbage_is_no_alarm(root: Root, put: Put) -> None:
    machine(put, 1, 1)
    put("sys/block/zram0/mm_stat", "garbage")
    limit = ZramLimit(root, lambda event: pytest.fail(event.message))
    limit.look()
    await asyncio.sleep(0.05)
    await limit.stop()
