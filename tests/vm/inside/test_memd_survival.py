"""memd killed, restarted and stopped by the real systemd while buffers of real heaps are out: the ledger is whole afterwards."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dmabuf import MiB
from people import buffers, journal, kill_memd, output

from memd.client import DmaBuf, Memd

pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.timeout(180)]
BOOKS = "fd437e82da824b8087b522279dc787f9"


@pytest.fixture
def held() -> Iterator[list[DmaBuf]]:
    """Buffers that are closed at the end, and then known to be."""
    kept: list[DmaBuf] = []
    try:
        yield kept
    finally:
        for buffer in kept:
            buffer.close()
    assert buffers() == []


def lend(held: list[DmaBuf], heap: str, *sizes: int) -> None:
    with Memd() as memd:
        held.extend(memd.allocate(heap, size, name=f"{heap} {size}") for size in sizes)


def lent(heap: str = "system") -> tuple[int, int]:
    """Bytes and buffers."""
    with Memd() as memd:
        return next((one["lent_bytes"], one["lent_buffers"]) for one in memd.heaps() if one["name"] == heap)


def restart() -> None:
    output("systemctl", "restart", "memd")


def stop() -> None:
    output("systemctl", "stop", "memd")
    output("systemctl", "start", "memd")


@pytest.mark.parametrize("end", [kill_memd, restart, pytest.param(stop, marks=pytest.mark.needs("systemd-254"))])
def test_the_ledger_is_whole_afterwards(held: list[DmaBuf], end: Callable[[], None]) -> None:
    lend(held, "system", MiB, 2 * MiB, 3 * MiB)
    held.pop(1).close()
    before = buffers()
    assert lent() == (4 * MiB, 2)

    end()

    assert buffers() == before
    assert lent() == (4 * MiB, 2)
    said = journal(f"MESSAGE_ID={BOOKS}")[-1]
    assert (said["MEMD_BUFFERS"], said["MEMD_SIZE"], said["MEMD_UNKNOWN"]) == ("2", str(4 * MiB), "0")
    held.pop().close()
    assert lent() == (MiB, 1)


@pytest.mark.needs("heap:reserved")
@pytest.mark.long
def test_kills_at_random_moments(held: list[DmaBuf]) -> None:
    """Several lives: what is held is charged, in each of them, whichever lent it."""
    chance = random.Random(11)  # the same in each run
    for _ in range(3):
        lend(held, "system", *[chance.randrange(1, 9) * 4096 for _ in range(chance.randrange(1, 20))])
        lend(held, "contiguous", MiB)
        for _ in range(len(held) // 3):
            held.pop(chance.randrange(len(held))).close()
        kill_memd()
        assert {row["id"]: row["size"] for row in buffers()} == {buffer.id: buffer.size for buffer in held}


@pytest.mark.long
def test_what_is_kept_is_bounded(held: list[DmaBuf]) -> None:
    """The books and a set for each owner, however many buffers and lives."""
    lend(held, "system", *[4096] * 50)
    kill_memd()
    lend(held, "system", *[4096] * 50)
    assert int(output("systemctl", "show", "-P", "NFileDescriptorStore", "memd")) <= 2


@pytest.mark.needs("available_pages")
def test_what_is_hidden_in_an_area_stays_charged(held: list[DmaBuf]) -> None:
    """An O_PATH fd keeps the memory, and shows nowhere: `releasing`, until the area has its pages back."""
    lend(held, "contiguous", 8 * MiB, MiB)
    heap, size, number = held[0].heap, held[0].size, held[0].id
    hiding = os.open(f"/proc/self/fd/{held[0].fileno()}", os.O_PATH)
    try:
        held.pop(0).close()
        for _ in range(3):
            assert [(row["id"], row["state"]) for row in buffers()] == [(number, "releasing"), (held[0].id, "lent")]
            assert lent(heap) == (size + MiB, 2)
    finally:
        os.close(hiding)
    assert [row["id"] for row in buffers()] == [held[0].id]


@pytest.mark.needs("heap:reserved")
def test_what_is_closed_is_back_at_once(held: list[DmaBuf]) -> None:
    """However the kernel orders its work: who asks right after closing finds nothing charged.

    The smallest default area of the machines has 16M, and never all of it free."""
    for size in (MiB, 6 * MiB, 4096, 8 * MiB):
        lend(held, "contiguous", size)
        heap = held[0].heap
        held.pop().close()
        assert lent(heap) == (0, 0)


def test_a_large_request_is_made_by_a_child(held: list[DmaBuf]) -> None:
    """In the sandbox of the unit; the child ends before its answer is given on, and the helper is left."""
    lend(held, "system", 64 * MiB)
    assert lent() == (64 * MiB, 1)
    group = output("systemctl", "show", "-P", "ControlGroup", "memd").strip()
    processes = Path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split()
    assert len(processes) == 2
