"""Three tests per kernel file: good, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import meminfo
from memd.kernel.root import Root

GOOD = """MemTotal:       24684092 kB
MemFree:        24562112 kB
MemAvailable:   24460000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
CmaTotal:          65536 kB
CmaFree:           32768 kB
"""
Put = Callable[[str, str | bytes], None]


def test_good(root: Root, put: Put) -> None:
    put("proc/meminfo", GOOD)

    memory = meminfo.read(root)

    assert memory.total == 24684092 * 1024
    assert memory.cma_free == 32 << 20
    assert memory.swap_total == 0


def test_a_kernel_without_cma_gives_none_and_not_zero() -> None:
    assert meminfo.parse("\n".join(GOOD.splitlines()[:5])).cma_total is None


def test_missing(root: Root) -> None:
    with pytest.raises(FileNotFoundError):
        meminfo.read(root)


@pytest.mark.parametrize(
    "text", ["", "MemTotal: x kB\n", GOOD.replace("MemAvailable", "MemOther"), GOOD.replace("kB", "MB")]
)
def test_garbage(root: Root, put: Put, text: str) -> None:
    put("proc/meminfo", text)

    with pytest.raises(BadKernelFile):
        meminfo.read(root)
