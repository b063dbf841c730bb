"""Compaction before a large CMA request: for whom, and what is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.kernel.root import Root
from memd.model import HeapKind
from memd.service import cmacompact

Put = Callable[[str, str | bytes], None]
M = 1 << 20


@pytest.mark.parametrize(
    ("kind", "size", "least", "done"),
    [
        (HeapKind.CMA, 16 * M, 16 * M, True),
        (HeapKind.CMA, 16 * M - 1, 16 * M, False),
        (HeapKind.CMA, 16 * M, 0, False),
        (HeapKind.SYSTEM, 16 * M, 16 * M, False),
    ],
)
async def test_for_whom(root: Root, kind: HeapKind, size: int, least: int, done: bool) -> None:
    assert (cmacompact.before(root, kind, size, least) is not None) is done


async def test_each_zram_that_is_swap(root: Root, put: Put) -> None:
    put(
        "proc/swaps",
        "Filename Type Size Used Priority\n/dev/zram0 partition 8 0 1\n/dev/zram2 partition 8 0 1\n/x file 8 0 1\n",
    )
    put("sys/block/zram2/compact", "")

    cmacompact.compact(root)

    assert root.read("sys/block/zram2/compact") == "1"


async def test_swaps_of_nonsense_cost_nothing(root: Root, put: Put) -> None:
    put("proc/swaps", "nonsense\n")

    cmacompact.compact(root)
