"""Two requests that leave the machine without memory though half of it reads as available, and what memd makes of them; and a CMA area that
is slow while others are served. For a machine of which a CMA area is half."""

import contextlib
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import people
import pytest
from dmabuf import MiB, meminfo
from people import output

from memd.client import Memd
from memd.errors import NoMemory

pytestmark = [pytest.mark.needs("cma=512M", "heap:reserved"), pytest.mark.timeout(300)]
GENEROUS = "[Lending]\nMaxBytes=100%\nMaxBufferSize=100%\nRefuseAt=never\nDeadline=2min\n"
FLOOR = 64 * MiB
SLOW = 360 * MiB


def oom_kills() -> int:
    """How many the OOM killer took since boot."""
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextlib.contextmanager
def hog(size: int) -> Iterator[subprocess.Popen[bytes]]:
    """A bystander with so much memory, which does not compress."""
    program = Path(__file__).with_name("hog.py")
    with people.started(sys.executable, program, size) as process:
        people.wait_line(process, "held", 200)
        yield process


@pytest.fixture
def generous() -> Iterator[None]:
    """Only the floor is left to decide; nobody may die of it."""
    daemon, killed = people.status()["pid"], oom_kills()
    with people.rules(GENEROUS):
        yield
    assert (people.status()["pid"], oom_kills()) == (daemon, killed)


@pytest.fixture
def no_swap() -> Iterator[None]:
    output("swapoff", "/dev/zram0")
    yield
    output("swapon", "-p", "100", "/dev/zram0")


def tempting() -> int:
    """A size that reads as available, and is not there: MemAvailable counts CMA pages, which the system heap cannot have."""
    size = meminfo("MemAvailable") - FLOOR - 96 * MiB
    assert size > meminfo("MemAvailable") - meminfo("CmaFree") + 64 * MiB
    return size // 4096 * 4096


@pytest.mark.usefixtures("generous")
def test_free_pages_of_cma_are_no_memory_for_the_system_heap() -> None:
    size = tempting()
    with hog(32 * MiB) as bystander:
        with Memd(timeout=200) as memd, pytest.raises(NoMemory, match="available outside CMA"):
            memd.allocate("system", size)
        assert bystander.poll() is None


def test_without_the_floor_the_oom_killer_would_come() -> None:
    """The same request, made as memd makes it but with no rule before it. (systemd ends a whole unit by default: hence another.)"""
    before, program = oom_kills(), Path(__file__).with_name("ask_too_much.py")
    unit = ["systemd-run", "--quiet", "--wait", "--pipe", "-p", "OOMPolicy=continue"]
    assert output(*unit, sys.executable, program, tempting()).split() == ["killed", "alive", "served"]
    assert oom_kills() == before + 1


@pytest.mark.usefixtures("generous")
def test_a_cma_request_may_not_push_others_out_to_nowhere(no_swap: None) -> None:
    """The area can be had, but what others keep there has no other place."""
    with hog(meminfo("MemAvailable") - 250 * MiB) as bystander:
        with Memd(timeout=200) as memd, pytest.raises(NoMemory, match="available or can be swapped out"):
            memd.allocate("contiguous", 400 * MiB)
        assert bystander.poll() is None


@pytest.mark.usefixtures("generous")
def test_a_slow_area_delays_no_other_heap() -> None:
    """Pages have to be moved out of the area for seconds; buffers of the system heap come meanwhile."""
    served, over, got = 0, threading.Event(), []

    def ask_much() -> None:
        with contextlib.ExitStack() as end, Memd(timeout=200) as memd:
            end.callback(over.set)
            with memd.allocate("contiguous", SLOW) as buffer:
                got.append(buffer.size)

    with hog(250 * MiB):  # what is left outside of the area stays above the floor
        slow = threading.Thread(target=ask_much)
        slow.start()
        with Memd(timeout=200) as memd:
            while not over.is_set():
                memd.allocate("system", random.randrange(1, 4) * MiB).close()
                served += 1
        slow.join()
    assert (got, served >= 5) == ([SLOW], True)
