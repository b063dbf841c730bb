"""memblock's lists in debugfs: good, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import memblock
from memd.kernel.root import Root
from memd.model_map import Range

Put = Callable[[str, str | bytes], None]
OLD = "   0: 0x0000000040000000..0x00000000817fffff\n"
NEW = (
    "   0: 0x0000000040000000..0x00000000817fffff    0 NONE\n   1: 0x0000000081800000..0x00000000835fffff    0 NOMAP\n"
)


def test_good(root: Root, put: Put) -> None:
    put(f"{memblock.DIRECTORY}/memory", NEW)
    put(f"{memblock.DIRECTORY}/reserved", OLD)

    assert memblock.memory(root) == (Range(0x40000000, 0x41800000), Range(0x81800000, 0x1E00000))
    assert memblock.reserved(root) == (Range(0x40000000, 0x41800000),)


def test_missing(root: Root) -> None:
    assert (memblock.memory(root), memblock.reserved(root)) == (None, None)


@pytest.mark.parametrize("text", ["0: 40000000..\n", "   0: 0x2..0x1\n", "hello"])
def test_garbage(root: Root, put: Put, text: str) -> None:
    put(f"{memblock.DIRECTORY}/memory", text)

    with pytest.raises(BadKernelFile):
        memblock.memory(root)
