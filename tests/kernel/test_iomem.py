"""/proc/iomem: good, missing, garbage, and hidden."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import iomem
from memd.kernel.root import Root
from memd.model_map import IoEntry, Range

Put = Callable[[str, str | bytes], None]


def test_good(root: Root, put: Put) -> None:
    put(
        iomem.FILE, "40000000-7fffffff : System RAM\n  40010000-41ffffff : Kernel code\n81800000-835fffff : reserved\n"
    )

    assert iomem.read(root) == (
        IoEntry(Range(0x40000000, 0x40000000), "System RAM", 0),
        IoEntry(Range(0x40010000, 0x1FF0000), "Kernel code", 1),
        IoEntry(Range(0x81800000, 0x1E00000), "reserved", 0),
    )


def test_missing(root: Root) -> None:
    assert iomem.read(root) is None


def test_hidden_addresses_are_not_zero(root: Root, put: Put) -> None:
    put(iomem.FILE, "00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n")

    assert iomem.read(root) is None


@pytest.mark.parametrize("text", ["hello\n", "40000000-3fffffff : System RAM\n", "4000-zz : a\n"])
def test_garbage(root: Root, put: Put, text: str) -> None:
    put(iomem.FILE, text)

    with pytest.raises(BadKernelFile):
        iomem.read(root)
