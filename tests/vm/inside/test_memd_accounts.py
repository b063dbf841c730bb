"""The kernel's own accounts against the ledger: the list of all dma-bufs (bufinfo), a CMA area's free pages, and what memd's memory cgroup
is charged for the system heap. Also after memd was killed at random moments while programs borrowed and gave back, for long."""

import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import people
import pytest
from dmabuf import MiB, cma_free
from people import output

from memd.client import Memd
from memd.errors import MemdError

pytestmark = pytest.mark.needs("heap:system", "heap:reserved")
BUFINFO = Path("/sys/kernel/debug/dma_buf/bufinfo")
LIVES, WORKERS, KEPT = 25, 3, 6
# The kernel charges a cgroup in batches of 64 pages (MEMCG_CHARGE_BATCH) for each CPU, and counts as late.
BATCH = 64 * 4096


def bufinfo() -> tuple[int, int]:
    """Objects and bytes of all dma-bufs of the machine."""
    found = re.search(r"Total (\d+) objects, (\d+) bytes", BUFINFO.read_text(errors="replace"))
    assert found
    return int(found[1]), int(found[2])


def ledger() -> dict[str, tuple[int, int]]:
    """Heap -> buffers, bytes."""
    found: dict[str, tuple[int, int]] = {}
    for row in people.buffers():
        count, size = found.get(row["heap"], (0, 0))
        found[row["heap"]] = count + 1, size + row["size"]
    return found


def charged() -> int:
    """Bytes of kernel memory in memd's cgroup."""
    group = output("systemctl", "show", "-P", "ControlGroup", "memd").strip()
    lines = Path(f"/sys/fs/cgroup{group}/memory.stat").read_text().splitlines()
    return int(dict(line.split() for line in lines)["kernel"])


class Worker:
    """A process that keeps a few buffers and changes one for another, whatever becomes of memd, until it is told to hold still."""

    def __init__(self, seed: int) -> None:
        self._still, told = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            with contextlib.suppress(BaseException):
                self._work(random.Random(seed), told)
            os._exit(1)
        os.close(told)

    def _work(self, chance: random.Random, told: int) -> None:
        held: list[int] = []
        going = [True]
        signal.signal(signal.SIGTERM, lambda *_: going.clear())
        while going:
            with contextlib.suppress(MemdError), Memd(timeout=60) as memd:
                while going:
                    heap, size = chance.choice(["system", "contiguous"]), chance.randrange(1, MiB // 2)
                    held.append(memd.allocate(heap, size).detach())
                    if len(held) > KEPT:
                        os.close(held.pop(chance.randrange(KEPT)))
        os.write(told, b"still")
        signal.pause()

    def hold_still(self) -> int:
        """How many buffers it has open then."""
        os.kill(self.pid, signal.SIGTERM)
        assert os.read(self._still, 5) == b"still"
        return sum(os.readlink(link).startswith("/dmabuf:") for link in Path(f"/proc/{self.pid}/fd").iterdir())

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._still)


@pytest.fixture
def free() -> Iterator[int]:
    """Bytes of the default CMA area that nobody has; as many at the end."""
    before = cma_free("reserved")
    yield before
    assert people.eventually(lambda: people.buffers() == [])
    assert cma_free("reserved") == before


@pytest.fixture
def workers(free: int) -> Iterator[list[Worker]]:
    """At work already."""
    found = [Worker(seed) for seed in range(WORKERS)]
    try:
        yield found
    finally:
        for worker in found:
            worker.end()


def test_the_kernels_list_is_the_ledger(free: int) -> None:
    with Memd() as memd, contextlib.ExitStack() as held:
        for heap, size in (("system", 4096), ("system", 3 * MiB + 1), ("contiguous", MiB), ("contiguous", 5 * 4096)):
            held.enter_context(memd.allocate(heap, size))
        books = ledger()
        assert bufinfo() == (4, sum(size for _, size in books.values()))
        assert free - cma_free("reserved") == sum(size for heap, (_, size) in books.items() if heap != "system")
    assert bufinfo() == (0, 0)


@pytest.mark.needs("mem-accounting")
def test_memds_cgroup_is_charged_what_the_ledger_says() -> None:
    output("systemctl", "restart", "memd")
    with Memd() as memd:
        list(memd.buffers())  # warm
        before = charged()
        with contextlib.ExitStack() as held:
            for _ in range(16):
                held.enter_context(memd.allocate("system", 4 * MiB))
            assert abs(charged() - before - ledger()["system"][1]) <= BATCH * (os.cpu_count() or 1)
        assert people.buffers() == []
    assert people.eventually(lambda: abs(charged() - before) <= BATCH * (os.cpu_count() or 1))


@pytest.mark.long
@pytest.mark.machines("x86_64-cma", "x86_64-6.1", "arm64")
@pytest.mark.timeout(1800)
def test_after_many_deaths_every_byte_is_in_the_books(free: int, workers: list[Worker]) -> None:
    chance = random.Random(3)
    for _ in range(LIVES):
        time.sleep(chance.random() * 3)
        people.kill_memd()
    held = sum(worker.hold_still() for worker in workers)

    books = ledger()
    total = sum(size for _, size in books.values())
    assert held >= WORKERS * KEPT
    assert bufinfo() == (sum(count for count, _ in books.values()), total)
    assert bufinfo()[0] == held
    assert free - cma_free("reserved") == sum(size for heap, (_, size) in books.items() if heap != "system")
