"""zram's pages in CMA regions, on a real kernel: measured, and moved away when the region is asked for."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from people import output
from zramdisk import PAGE, Disk, disk

from memd.client import Memd
from memd.kernel import zspages
from memd.kernel.root import Root

M = 1 << 20
ROOT = Root()
# Takes memory until this much is left, so that movable pages have to go where CMA lends them.
FILL = """
import mmap, sys, time
def left():
    lines = dict(line.split(":") for line in open("/proc/meminfo"))
    return int(lines["MemFree"].split()[0]) - int(lines["CmaFree"].split()[0])
kept = []
while left() > int(sys.argv[1]):
    kept.append(mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
    kept[-1].write(b"x" * (4 << 20))
print("full", flush=True)
time.sleep(600)
"""


@pytest.fixture
def crowded() -> Iterator[Disk]:
    """A device with 24M of zram pages, made while there is little memory outside of CMA."""
    command = [sys.executable, "-c", FILL, str(60 << 10)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as filler:
        try:
            assert filler.stdout
            assert filler.stdout.readline() == "full\n"
            with disk(64 * M) as made:
                made.store(48 * M // PAGE)
                yield made
        finally:
            filler.kill()


@pytest.mark.long  # where zspages settle is the kernel's choice: on a quiet machine none may lie in the area
@pytest.mark.timeout(150)
@pytest.mark.needs("cma-debugfs", "cma=64M")
def test_the_share_is_measured_and_moved_away(crowded: Disk) -> None:
    before = zspages.in_regions(ROOT)
    assert zspages.total(ROOT)
    print(f"zram in CMA: {before}, zspages {zspages.total(ROOT)}", file=sys.stderr)
    assert before.keys() == {"reserved"}
    assert 0 < before["reserved"] <= 64 * M
    crowded.set("compact", "1")
    with Memd() as memd:
        started = time.monotonic()
        buffer = memd.allocate("contiguous", 16 * M)
        print(f"16M of CMA: {time.monotonic() - started:.2f}s", file=sys.stderr)
        buffer.close()
    crowded.check(48 * M // PAGE)
    output("memctl", "zram")
