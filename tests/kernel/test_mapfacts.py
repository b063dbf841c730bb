"""All that a machine tells of its map: what can't be read is told, and the rest is given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from memd.kernel import mapfacts
from memd.kernel.root import Root
from memd.model_map import MapFacts

Put = Callable[[str, str | bytes], None]


def test_good(root: Root, put: Put) -> None:
    put("proc/cmdline", "quiet cma=64M\n")
    put("proc/sys/kernel/osrelease", "7.2.11\n")
    put("proc/pagetypeinfo", "Page block order: 10\nPages per block:  1024\n")
    put("sys/kernel/mm/cma/reserved/total_pages", "16384\n")
    put("dev/dma_heap/system", "")

    facts = mapfacts.read(root)

    assert (facts.command_line, facts.kernel) == ("quiet cma=64M", "7.2.11")
    assert facts.page_block == 1024 * os.sysconf("SC_PAGE_SIZE")
    assert (facts.cma, facts.heaps) == ({"reserved": 16384 * os.sysconf("SC_PAGE_SIZE")}, ("system",))
    assert facts.unreadable == ()


def test_missing(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()

    facts = mapfacts.read(Root(str(nothing)))

    assert facts == MapFacts()


def test_garbage_is_told_and_the_rest_is_given(root: Root, put: Put) -> None:
    put("proc/cmdline", "quiet\n")
    put("proc/iomem", "garbage\n")
    put("proc/pagetypeinfo", "garbage\n")

    facts = mapfacts.read(root)

    assert (facts.command_line, facts.iomem, facts.page_block) == ("quiet", None, None)
    assert [line.partition(": ")[2] for line in facts.unreadable] == [
        "cannot make sense of 'garbage'",
        "cannot make sense of 'garbage\\n'",
    ]
