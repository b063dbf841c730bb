"""/proc/pagetypeinfo: good, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import pagetypeinfo
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


@pytest.mark.parametrize(
    ("order", "pages", "page", "block"),
    [(10, 1024, 4096, 4 << 20), (9, 512, 4096, 2 << 20), (13, 8192, 65536, 512 << 20)],
)
def test_good(root: Root, put: Put, order: int, pages: int, page: int, block: int) -> None:
    put(
        pagetypeinfo.FILE,
        f"Page block order: {order}\nPages per block:  {pages}\n\nFree pages count per migrate type\n",
    )

    assert pagetypeinfo.block(root, page) == block


def test_missing(root: Root) -> None:
    assert pagetypeinfo.block(root) is None


@pytest.mark.parametrize(
    "text", ["", "Pages per block: 0\n", "Pages per block: 1000\n", "Pages per block: 99999999999999\n"]
)
def test_garbage(root: Root, put: Put, text: str) -> None:
    put(pagetypeinfo.FILE, text)

    with pytest.raises(BadKernelFile):
        pagetypeinfo.block(root)
