"""The lane and the pools on real heaps: buffers that are DMA-BUFs, charged to who opened the lane, ready before they are asked for."""

import os
import time
from collections.abc import Iterator

import people
import pytest
from dmabuf import MiB

from memd.client import Memd

pytestmark = [pytest.mark.needs("heap:system")]

POOL = "[Pool frames]\nHeap=system\nSize=8M\nCount=8\n"
KIND = "/dmabuf:"


@pytest.fixture
def memd() -> Iterator[Memd]:
    """A client that has a lane."""
    with Memd() as client:
        for _ in range(4):
            client.allocate("system", 4096).close()
        assert client._lane
        yield client


def ready(memd: Memd) -> int:
    return memd.status()["pools"][0]["ready"]


def wait_until_ready(memd: Memd, count: int) -> None:
    deadline = time.monotonic() + 60
    while ready(memd) != count:
        assert time.monotonic() < deadline, memd.status()["pools"]
        time.sleep(0.05)


def test_the_lane_gives_buffers_of_the_heap(memd: Memd) -> None:
    buffers = memd.allocate_many("system", [MiB] * 64, name="lane")
    assert all(os.readlink(f"/proc/self/fd/{buffer.fileno()}").startswith(KIND) for buffer in buffers)
    rows = list(memd.buffers())
    assert [row["id"] for row in rows] == [buffer.id for buffer in buffers]
    assert {(row["pid"], row["name"], row["heap"]) for row in rows} == {(os.getpid(), "lane", "system")}
    for buffer in buffers:
        buffer.close()
    assert list(memd.buffers()) == []


@pytest.mark.needs("heap:reserved")
def test_the_lane_gives_contiguous_memory_too(memd: Memd) -> None:
    with memd.allocate("contiguous", MiB) as buffer:
        assert buffer.heap != "system"
    assert list(memd.buffers()) == []


def test_the_lane_outlives_a_restart_of_memd(memd: Memd) -> None:
    kept = memd.allocate("system", 4096)
    people.output("systemctl", "restart", "memd")
    for _ in range(5):
        memd.allocate("system", 4096).close()
    assert memd._lane
    assert [row["id"] for row in memd.buffers()] == [kept.id]
    kept.close()


def test_a_pool_is_ready_and_is_made_anew(memd: Memd) -> None:
    with people.rules(POOL):
        wait_until_ready(memd, 8)
        assert [row["state"] for row in memd.buffers()] == ["pooled"] * 8
        taken = [memd.allocate("system", 8 * MiB) for _ in range(4)]
        wait_until_ready(memd, 8)
        for buffer in taken:
            with buffer.mmap() as memory:
                assert memory[:4096] == bytes(4096)
            buffer.close()
    assert list(memd.buffers()) == []
