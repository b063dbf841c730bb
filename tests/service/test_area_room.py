"""What a CMA area has left, beside requests that wait and one that the kernel works on: its own count may be without that one already."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given

from memd.kernel.root import Root
from memd.model import Heap, HeapKind
from memd.service import facts
from memd.service.ledger import Ledger

PAGE = 4096
WHOLE = 64  # pages
CMA = Heap("reserved", HeapKind.CMA, region="reserved")
PAGES = st.integers(1, 24)


def left(ledger: Ledger, free: int) -> int:
    """Pages that a request may have, with so many free by the kernel's count."""
    with tempfile.TemporaryDirectory() as directory:
        area = Path(directory, "sys/kernel/mm/cma/reserved")
        area.mkdir(parents=True)
        (area / "available_pages").write_text(f"{free}\n")
        (area / "total_pages").write_text(f"{WHOLE}\n")
        meminfo = Path(directory, "proc/meminfo")
        meminfo.parent.mkdir()
        meminfo.write_text("MemTotal: 1048576 kB\nMemFree: 524288 kB\nMemAvailable: 524288 kB\n")
        found = facts.memory(Root(directory), CMA, ledger).region_available
    assert found is not None
    return found // PAGE


@given(waiting=st.lists(PAGES, max_size=4), at_kernel=PAGES | st.none(), taken=st.booleans(), lent=st.integers(0, 24))
def test_no_request_is_refused_that_fits_and_none_counts_on_what_others_wait_for(
    waiting: list[int], at_kernel: int | None, *, taken: bool, lent: int
) -> None:
    asyncio.run(_check(waiting, at_kernel, lent, taken=taken))


async def _check(waiting: list[int], at_kernel: int | None, lent: int, *, taken: bool) -> None:
    ledger = Ledger()
    try:
        for pages in waiting:
            ledger.reserve("uid:1", "camera", CMA, (pages * PAGE,))
        if at_kernel:
            ledger.reserve("uid:2", "camera", CMA, (at_kernel * PAGE,)).at_kernel = True
        free = WHOLE - lent - (at_kernel or 0 if taken else 0)

        room = left(ledger, max(free, 0))

        assert room >= WHOLE - lent - sum(waiting) - (at_kernel or 0)
        assert room == max(max(free, 0) - sum(waiting), 0)
        assert ledger.pending("reserved") == (sum(waiting) + (at_kernel or 0)) * PAGE
    finally:
        await ledger.close()


async def test_what_was_at_the_kernel_and_failed_is_nowhere() -> None:
    ledger = Ledger()
    reservation = ledger.reserve("uid:1", "camera", CMA, (8 * PAGE,))
    assert left(ledger, WHOLE) == WHOLE - 8
    reservation.at_kernel = True
    assert left(ledger, WHOLE - 8) == WHOLE - 8
    ledger.give_back(reservation)
    assert left(ledger, WHOLE) == WHOLE
    await ledger.close()
