"""What takes longer than a submission can wait for: many loans, many deaths, long stress. `make test-vm-long` runs it."""

import os
import random
from pathlib import Path

import people
import pytest
from dmabuf import MiB, cma_free, meminfo
from people import buffers, output

from memd.client import DmaBuf, Memd

pytestmark = [pytest.mark.long, pytest.mark.needs("heap:reserved")]


def memd_pid() -> int:
    """The daemon's process."""
    return int(output("systemctl", "show", "-P", "MainPID", "memd.service"))


@pytest.mark.timeout(600)
def test_many_loans_leave_nothing_behind() -> None:
    fds, free = len(os.listdir(f"/proc/{memd_pid()}/fd")), cma_free("reserved")
    chance = random.Random(7)  # the same sizes in each run
    with Memd() as memd:
        for _ in range(3000):
            heap, size = chance.choice(["system", "contiguous"]), chance.randrange(1, 2 * MiB)
            memd.allocate(heap, size).close()
        assert list(memd.buffers()) == []
    assert len(os.listdir(f"/proc/{memd_pid()}/fd")) <= fds + 2
    assert cma_free("reserved") == free


@pytest.mark.timeout(600)
def test_twenty_deaths_lose_neither_swap_nor_buffers() -> None:
    swaps, free = meminfo("SwapTotal"), cma_free("reserved")
    held: list[DmaBuf] = []
    for _ in range(20):
        with Memd() as memd:
            held.append(memd.allocate("contiguous", MiB))
        people.kill_memd()
        assert free - cma_free("reserved") == len(held) * MiB
        assert meminfo("SwapTotal") == swaps
    for buffer in held:
        buffer.close()
    assert cma_free("reserved") == free
    assert buffers() == []
    assert "zram0" in Path("/proc/swaps").read_text()
