"""What a change means for a device in use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import MemInfo, Swap, ZramSettings, ZramStat
from memd.policy import zramlive
from memd.policy.zramplan import Plan

M = 1 << 20
G = 1 << 30
OLD = ZramSettings()


def stat(**more: Any) -> ZramStat:
    facts = {"name": "zram0", "disksize": G, "initstate": True, "algorithm": "zstd", "algorithms": ("zstd", "lz4")}
    return ZramStat(**{**facts, **more})


def swap(path: str = "/dev/zram0", size: int = G, used: int = 0, priority: int = 100) -> Swap:
    return Swap(path=path, kind="partition", size=size, used=used, priority=priority)


def change(new: ZramSettings, old: ZramSettings = OLD, given: tuple[str, ...] = (), **plan: Any) -> zramlive.Change:
    keys = zramlive.to_check(old, new, given)
    return zramlive.change(keys, new, Plan(**{"action": "use", "disksize": G, **plan}), stat(), swap())


def test_nothing() -> None:
    assert change(OLD) == zramlive.Change()


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (ZramSettings(algorithms=("lz4",)), "algorithm zstd -> lz4"),
        (ZramSettings(priority=5), "priority 100 -> 5"),
        (ZramSettings(algorithms=("zstd(level=9)",)), "parameters of its algorithm"),
        (ZramSettings(discard=False), "discard"),
        (ZramSettings(backing_device="/dev/sda3"), "backing device"),
        (ZramSettings(compressed_writeback=True), "how it writes back"),
    ],
)
def test_what_needs_a_second_device(new: ZramSettings, words: str) -> None:
    assert change(new).move == (words,)


def test_a_size_that_is_written_otherwise_is_the_same() -> None:
    assert change(ZramSettings(size="1G"), given=("Size",)) == zramlive.Change()
    assert change(ZramSettings(size="2G"), given=("Size",), disksize=2 * G).move == ("size 1G -> 2G",)


def test_a_key_that_is_said_again_is_compared_with_the_device() -> None:
    same = ZramSettings(algorithms=("lz4",), discard=False)

    assert change(same, same).move == ()
    assert change(same, same, given=("Algorithms", "Discard")).move == ("algorithm zstd -> lz4",)


def test_parameters_that_are_taken_back_need_one_too() -> None:
    assert change(OLD, ZramSettings(algorithms=("zstd(level=9)",))).move == ("parameters of its algorithm",)


def test_what_the_kernel_takes_at_once() -> None:
    new = ZramSettings(mem_limit="512M", writeback_batch=64)

    assert change(new, limit=512 * M) == zramlive.Change(limit=512 * M, batch=64)
    assert zramlive.change(("MemLimit",), OLD, Plan(action="use", disksize=G), stat(mem_limit=M), swap()).limit == 0


def test_a_priority_that_other_swap_has_raised_is_the_one_that_was_wanted() -> None:
    disk = Swap(path="/dev/sda2", kind="partition", size=G, used=0, priority=200)
    plan = Plan(action="use", disksize=G)

    assert zramlive.change(("Priority",), OLD, plan, stat(), swap(priority=201), disk).move == ()
    assert zramlive.change(("Priority",), OLD, plan, stat(), swap(), disk).move == ("priority 100 -> 201",)


def memory(available: int, cma_free: int = 0) -> MemInfo:
    return MemInfo(total=4 * G, available=available, free=available, cma_free=cma_free)


def test_room() -> None:
    full = swap(used=G)
    assert zramlive.no_room(memory(G), (full,), full, G) is None
    assert "takes 4M at once" in (zramlive.no_room(memory(30 * M), (full,), full, G) or "")
    assert zramlive.no_room(memory(G, cma_free=G - 30 * M), (full,), full, G)
    assert "would not hold them" in (zramlive.no_room(memory(100 * M), (full,), full, 512 * M) or "")
    disk = swap("/dev/sda2", size=2 * G)
    assert zramlive.no_room(memory(100 * M), (full, disk), full, 512 * M) is None


def test_ram_that_can_be_swapped_out_is_room() -> None:
    """A process of 1.5 times the free RAM leaves next to none available, and half of the swap."""
    half = swap(used=G // 2)

    assert zramlive.no_room(memory(M), (half,), half, G) is None


@given(st.integers(0, 4 * G), st.integers(0, 4 * G), st.integers(M, 8 * G), st.integers(0, G))
def test_what_is_granted_fits(available: int, cma: int, disksize: int, used: int) -> None:
    old = swap(used=used)
    if zramlive.no_room(memory(available, cma), (old,), old, disksize) is None:
        need = disksize // zramlive.TABLE + zramlive.HEADROOM
        assert available - cma + (G - used) // 4 >= need
        assert used <= disksize + max(available - cma - need, 0)


def test_a_limit_below_what_it_takes_now() -> None:
    assert zramlive.below_use(M, stat(mem_used=2 * M))
    assert zramlive.below_use(2 * M, stat(mem_used=2 * M)) is None
    assert zramlive.below_use(0, stat(mem_used=2 * M)) is None
    assert zramlive.below_use(None, stat(mem_used=2 * M)) is None


def test_which_sections_have_gone() -> None:
    slow, off = ZramSettings(name="slow"), ZramSettings(name="slow", enabled=False)

    assert zramlive.gone((OLD, slow), (OLD,)) == ("slow",)
    assert zramlive.gone((OLD, slow), (OLD, off)) == ("slow",)
    assert zramlive.gone((OLD, off), (OLD,)) == ()
    assert zramlive.gone((OLD, slow), (slow,)) == ()  # [Zram] is the machine's first swap


@given(*[st.integers(0, 8 * G) for _ in range(4)])
def test_a_device_is_switched_off_only_where_what_it_holds_has_room(
    used: int, available: int, cma: int, other: int
) -> None:
    swaps = (swap(size=8 * G, used=used), swap("/dev/sda2", size=other))
    memory = MemInfo(total=8 * G, available=available, free=0, cma_free=cma)
    refusal = zramlive.no_room_without(memory, swaps, swaps[0])

    assert (refusal is None) == (used <= max(available - cma - 32 * M, 0) + other)
    assert refusal is None or "`swapoff /dev/zram0`" in refusal
