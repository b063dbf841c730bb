"""memd.kernel.zspages: good, missing, garbage."""

from __future__ import annotations

import array
from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import zspages
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


@pytest.fixture
def region(put: Put) -> None:
    flags = [0, 1 << 10, 0, 0, 1 << 5, 0, 1 << 12, 1 << 32, 1 << 36]
    put("proc/kpageflags", array.array("Q", [0] * 100 + flags).tobytes())
    for file, value in {"base_pfn": 100, "count": 9, "used": 2}.items():
        put(f"sys/kernel/debug/cma/reserved/{file}", f"{value}\n")


@pytest.mark.usefixtures("region")
def test_good(root: Root, put: Put) -> None:
    put("proc/vmstat", "nr_free_pages 5\nnr_zspages 7\n")

    assert zspages.in_regions(root, page=4096) == {"reserved": 3 * 4096}
    assert zspages.total(root, page=4096) == 7 * 4096


def test_missing(root: Root, put: Put) -> None:
    assert zspages.in_regions(root) == {}
    assert zspages.total(root) is None
    put("proc/kpageflags", b"")
    assert zspages.in_regions(root) == {}


@pytest.mark.usefixtures("region")
def test_garbage(root: Root, put: Put) -> None:
    put("proc/vmstat", "nr_zspages many\n")
    put("sys/kernel/debug/cma/reserved/count", "many\n")

    with pytest.raises(BadKernelFile):
        zspages.total(root)
    with pytest.raises(BadKernelFile):
        zspages.in_regions(root)


@pytest.mark.usefixtures("region")
def test_a_file_that_ends_early(root: Root, put: Put) -> None:
    put("proc/kpageflags", bytes(8 * 103 + 3))

    assert zspages.in_regions(root, page=1) == {"reserved": 1}
