"""memd.policy.swapfill: zram counted by the RAM that it takes and the RAM that is left for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import MemInfo, Swap, ZramStat
from memd.model import SwapFill
from memd.policy import swapfill

M = 1 << 20


def memory(available: int) -> MemInfo:
    return MemInfo(total=max(available, 1024 * M), available=available, free=available)


def zram(original: int = 0, mem_used: int = 0, mem_limit: int = 0, name: str = "zram0") -> ZramStat:
    numbers = {"original": original, "mem_used": mem_used, "mem_limit": mem_limit}
    return ZramStat(name=name, disksize=0, initstate=True, algorithm="lzo", algorithms=("lzo",), **numbers)


def swap(size: int, used: int = 0, path: str = "/dev/zram0", priority: int = 100) -> Swap:
    return Swap(path=path, kind="partition", size=size, used=used, priority=priority)


def test_no_swap() -> None:
    fill = swapfill.fill(memory(512 * M), [], [])

    assert fill == SwapFill(0, 0, 0, 0)
    assert fill.fraction == 0


def test_a_disk_costs_nothing_and_takes_what_its_size_says() -> None:
    fill = swapfill.fill(memory(0), [swap(100 * M, 25 * M, "/dev/sda2")], [])

    assert fill == SwapFill(100 * M, 25 * M, 0, 75 * M)
    assert fill.fraction == 0.25


def test_zram_takes_what_ram_can_hold_at_todays_ratio() -> None:
    fill = swapfill.fill(memory(100 * M), [swap(1024 * M, 300 * M)], [zram(300 * M, 75 * M)])

    assert fill == SwapFill(1024 * M, 300 * M, 75 * M, 400 * M)


def test_a_ratio_of_one_says_how_little_zram_gives() -> None:
    fill = swapfill.fill(memory(10 * M), [swap(1024 * M, 300 * M)], [zram(300 * M, 300 * M)])

    assert fill.free == 10 * M
    assert fill.fraction > 0.95


def test_the_device_is_the_limit_where_ram_is_plenty() -> None:
    assert swapfill.fill(memory(900 * M), [swap(400 * M, 300 * M)], [zram(300 * M, 100 * M)]).free == 100 * M


def test_mem_limit_is_a_limit() -> None:
    fill = swapfill.fill(memory(900 * M), [swap(1024 * M, 300 * M)], [zram(300 * M, 100 * M, mem_limit=120 * M)])
    over = swapfill.fill(memory(900 * M), [swap(1024 * M, 300 * M)], [zram(300 * M, 100 * M, mem_limit=90 * M)])

    assert fill.free == 60 * M
    assert over.free == 0


@pytest.mark.parametrize(
    "stat",
    [zram(), zram(4096, 12288), zram(512 * M, 0), zram(swapfill.MEANINGFUL - 1, 1)],
    ids=["empty", "one page", "same pages only", "next to nothing"],
)
def test_a_ratio_that_says_nothing_is_the_kernels_two_to_one(stat: ZramStat) -> None:
    assert swapfill.fill(memory(100 * M), [swap(4096 * M)], [stat]).free == 200 * M


def test_a_zram_swap_without_its_numbers_is_estimated() -> None:
    assert swapfill.fill(memory(100 * M), [swap(1024 * M, 300 * M)], []) == SwapFill(
        1024 * M, 300 * M, 150 * M, 200 * M
    )


def test_a_zram_that_was_switched_on_in_a_private_dev_is_known_by_its_name() -> None:
    assert swapfill.fill(memory(M), [swap(1024 * M, 300 * M, path="/zram0")], [zram(300 * M, 75 * M)]).cost == 75 * M


def test_ram_is_spent_once_by_priority() -> None:
    both = [swap(1024 * M, path="/dev/zram1", priority=5), swap(100 * M, path="/dev/zram0", priority=10)]
    fill = swapfill.fill(memory(100 * M), both, [zram(), zram(name="zram1")])

    assert fill.free == 200 * M


sizes = st.integers(0, 1 << 40)


@given(sizes, st.lists(st.tuples(sizes, sizes, st.booleans(), sizes, sizes, sizes), max_size=4))
def test_never_more_than_there_is(available: int, devices: list[tuple[int, int, bool, int, int, int]]) -> None:
    swaps, stats = [], []
    for number, (size, used, compressed, original, mem_used, limit) in enumerate(devices):
        name = f"zram{number}" if compressed else f"sda{number}"
        swaps.append(swap(max(size, used), used, f"/dev/{name}", number))
        stats.append(zram(original, mem_used, limit, name))

    fill = swapfill.fill(memory(available), swaps, stats)

    assert 0 <= fill.free <= fill.size - fill.used
    assert 0 <= fill.fraction <= 1
    assert fill.cost >= 0
