"""memctl cma: who holds an area, and the advice in the words that one would type."""

from __future__ import annotations

from typing import Any

import pytest

from memd.cli import cma
from memd.cli.render import Look
from memd.client.types import CmaFacts
from memd.kernel.bufinfo import BufInfo

M = 1 << 20
FACTS: CmaFacts = {
    "name": "reserved", "size": 64 * M, "available": 24 * M, "largest_run": 6 * M, "fragmentation": 0.75, "state": "fine",
    "peak": 48 * M, "failures": 2, "largest_failed": 16 * M, "needed": 56 * M, "largest_asked": 16 * M,
}  # fmt: skip
FAILED = "requests failed: what was in use and what was asked for need more; 64M now, peak 48M, 2 failures, the largest of 16M"
BUFFERS = (
    BufInfo(20 * M, 1, "default_cma_region", 1),
    BufInfo(8 * M, 1, "system", 2),
    BufInfo(4 * M, 1, "reserved", 3),
)


def area(facts: CmaFacts, default: bool = True, **told: Any) -> dict[str, Any]:
    advice = cma._plain(cma.advise(facts))
    return {**facts, "default": default, "holders": {"memd": 0, "owners": {}, **told}, "advice": advice}


@pytest.mark.parametrize(
    ("used", "buffers", "told"),
    [
        (40 * M, BUFFERS, {"dmabufs": 16 * M, "drivers": 16 * M}),
        (40 * M, (), {"dmabufs": 0, "drivers": 32 * M}),
        (40 * M, None, {}),
        (None, BUFFERS, {"dmabufs": 16 * M}),
        (2 * M, BUFFERS, {"dmabufs": 16 * M, "drivers": 0}),
    ],
)
def test_holders(used: int | None, buffers: tuple[BufInfo, ...] | None, told: dict[str, int]) -> None:
    found = cma.holders(used, 8 * M, {"a.service": 8 * M}, {"default_cma_region", "reserved"}, buffers)

    assert found == {"memd": 8 * M, "owners": {"a.service": 8 * M}, **told}


def test_table() -> None:
    held = area(FACTS, memd=8 * M, owners={"a.service": 2 * M, "b\x1b": 6 * M}, dmabufs=16 * M, drivers=16 * M)

    assert cma.text([held, area({"name": "old"})], Look(None)) == (
        "AREA      SIZE  USED  FREE  LARGEST RUN  IN PIECES  PEAK  FAILED  STATE\n"
        "reserved   64M   40M   24M           6M        75%   48M       2  fine\n"
        "old          -     -     -            -          -     -       -  -\n"
        "reserved: memd lent 8M (b\\x1b 6M, a.service 2M), other DMA-BUFs 16M, drivers 16M\n"
    )


def test_advice_is_what_one_would_type() -> None:
    told = cma.advice_text(
        [area(FACTS), area({**FACTS, "name": "my_cma"}, default=False), area({"name": "old"})], Look(None)
    )

    assert told.splitlines() == [
        f"reserved: 72M (cma=72M): {FAILED}",
        f"my_cma: 72M (size 0x4800000 in its device-tree node): {FAILED}",
        "old: this kernel does not tell how large the area is, and what of it is free",
    ]


def test_none() -> None:
    assert cma.text([], Look(None)).startswith("no CMA area: ")
    assert cma.advice_text([], Look(None)).startswith("no CMA area: ")
