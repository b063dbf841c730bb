"""What CompactBeforeCma= wins: a CMA region full of a full zram's pages with holes, and 32M asked of it; compacted before, or not."""

import subprocess
import sys
import time
from collections.abc import Callable

from test_memd_zspages import FILL, ROOT, M
from zramdisk import PAGE, disk

from memd.client import Memd
from memd.kernel import zspages

ROUNDS = 4
STORED = 48 * M // PAGE
ASKED = 32 * M
LEFT = str(60 << 10)  # KiB outside of CMA: what comes then has to go where CMA lends its pages


def bench_compact_before_cma(row: Callable[..., None]) -> None:
    rounds = [(once(compacted=True), once(compacted=False)) for _ in range(ROUNDS)]
    row("32M of a full CMA region, zram compacted first", "not compacted", *zip(*rounds, strict=True))
    row("the same, not compacted", "seconds", [plain for _, plain in rounds])


def once(*, compacted: bool) -> float:
    """Seconds until the buffer is there, the compaction in them. memd compacts what is swap; this device is the benchmark's own."""
    with subprocess.Popen([sys.executable, "-c", FILL, LEFT], stdout=subprocess.PIPE, text=True) as filler:
        try:
            assert filler.stdout
            assert filler.stdout.readline() == "full\n"
            with disk(64 * M) as made:
                made.store(STORED)
                with open(f"/dev/{made.name}", "r+b", buffering=0) as opened:  # two pages of three go
                    for number in range(STORED):
                        if number % 3:
                            opened.seek(number * PAGE)
                            opened.write(bytes(PAGE))
                subprocess.run(["sync"], check=True)
                assert zspages.in_regions(ROOT)["reserved"] > 0
                return asked(lambda: made.set("compact", "1") if compacted else None)
        finally:
            filler.kill()


def asked(first: Callable[[], None]) -> float:
    with Memd() as memd:
        began = time.perf_counter()
        first()
        buffer = memd.allocate("contiguous", ASKED)
        took = time.perf_counter() - began
        buffer.close()
    return took
