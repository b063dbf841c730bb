"""What it costs to know which of 10,000 lent buffers are alive: one read of their weak set, as a decision or a listing needs it.

ledger.py [BUFFERS]: as root where there is a system heap, with buffers of it; elsewhere eventfds stand for them, and it says so. An fd
for each is held here, as their borrowers would.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from memd.kernel import dmaheap
from memd.kernel.weakref import EpollSet
from tests.bench.tools import Ratio, ratio

HEAP = "/dev/dma_heap/system"
READS = 15


def milliseconds(work: Callable[[], object], runs: int = READS) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e3


def fill(weak: EpollSet, count: int) -> list[int]:
    """The fds of so many buffers, each in the set by its place."""
    real = os.access(HEAP, os.R_OK)
    print(f"{count} buffers: {'4 KiB of heap system each' if real else 'eventfds, for want of a DMA-BUF heap'}")
    fds = [dmaheap.allocate(HEAP, 4096) if real else os.eventfd(0) for _ in range(count)]
    start = time.perf_counter()
    for number, fd in enumerate(fds):
        weak.add(fd, number)
    print(f"put into the set: {(time.perf_counter() - start) / count * 1e6:.1f} us each")
    return fds


def reconcile(count: int = 10_000) -> dict[str, Ratio]:
    """What is gone of so many that are alive, beside reading the kernel's list alone; in turn."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 200, hard), hard))
    weak, books = EpollSet(), set(range(count))
    fds = [os.eventfd(0) for _ in range(count)]
    for number, fd in enumerate(fds):
        weak.add(fd, number)
    path = f"/proc/self/fdinfo/{weak.fileno()}"
    ours, alone = [], []
    for _ in range(READS):
        ours.append(milliseconds(lambda: books - weak.alive(), 1))
        alone.append(milliseconds(lambda: Path(path).read_bytes(), 1))
    for fd in fds:
        os.close(fd)
    weak.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return {f"reconcile of {count} live buffers / reading fdinfo alone": ratio(ours, alone)}


def main() -> None:
    """Print each cost on a line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    weak = EpollSet()
    fds = fill(weak, count)
    books = set(range(count))
    print(f"reconcile, all alive: {milliseconds(lambda: books - weak.alive()):.1f} ms")
    for fd in fds[::2]:
        os.close(fd)
    if books - weak.alive() != set(range(0, count, 2)):
        raise SystemExit("bench: the kernel's list is not what is held")
    print(f"reconcile, half of them gone: {milliseconds(lambda: books - weak.alive()):.1f} ms")
    for fd in fds[1::2]:
        os.close(fd)
    print(f"reconcile, all gone: {milliseconds(lambda: books - weak.alive()):.2f} ms")


if __name__ == "__main__":
    main()
