"""memd.kernel.cma: areas of a new kernel, of an old one, of none, and nonsense."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import cma
from memd.kernel.root import Root
from memd.model import CmaRegion

Put = Callable[[str, str | bytes], None]


def put_area(put: Put, name: str, **files: int) -> None:
    for file, value in files.items():
        put(f"{cma.DIRECTORY}/{name}/{file}", f"{value}\n")


def test_good(root: Root, put: Put) -> None:
    put_area(put, "my_cma", total_pages=4096, available_pages=1024, alloc_pages_success=77, alloc_pages_fail=0)
    put_area(put, "adsp-heap", total_pages=1, available_pages=0, alloc_pages_success=0, alloc_pages_fail=3)

    assert cma.read(root, page=16384) == (
        CmaRegion("adsp-heap", 16384, 0, 0, 3),
        CmaRegion("my_cma", 64 << 20, 16 << 20, 77, 0),
    )


def test_an_older_kernel_counts_only(root: Root, put: Put) -> None:
    put_area(put, "reserved", alloc_pages_success=5, alloc_pages_fail=1)

    assert cma.read(root) == (CmaRegion("reserved", None, None, 5, 1),)


def test_what_an_area_was_given_back(root: Root, put: Put) -> None:
    put_area(put, "reserved", release_pages_success=3)

    assert cma.released(root, "reserved", page=16384) == 49152
    assert cma.released(root, "other") is None
    put(f"{cma.DIRECTORY}/reserved/release_pages_success", "three\n")
    with pytest.raises(BadKernelFile):
        cma.released(root, "reserved")


def test_missing(root: Root) -> None:
    assert cma.read(root) == ()


@pytest.mark.parametrize("text", ["", "many\n", "-1\n", "1 2\n"])
def test_garbage(root: Root, put: Put, text: str) -> None:
    put(f"{cma.DIRECTORY}/reserved/total_pages", text)

    with pytest.raises(BadKernelFile) as caught:
        cma.read(root)
    assert caught.value.path.endswith("cma/reserved/total_pages")
