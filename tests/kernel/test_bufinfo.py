"""The kernel's list of DMA-BUFs: as 7.3 and 6.1 print it, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import bufinfo
from memd.kernel.bufinfo import BufInfo
from memd.kernel.root import Root

Put = Callable[[str, str], None]
# Of 7.3; the second buffer's holder gave it a name that looks like a buffer.
LIST = """
Dma-buf Objects:
size    \tflags   \tmode    \tcount   \texp_name\tino     \tname
09437184\t00000002\t02080007\t00000001\tsystem\t00000006\t<none>
\tAttached Devices:
Total 0 devices attached

01048576\t00000002\t02080007\t00000003\tdefault_cma_region\t00000005\tline
break
\tAttached Devices:
\tvideo0
Total 1 devices attached


Total 2 objects, 10485760 bytes
"""


def test_good(root: Root, put: Put) -> None:
    put(bufinfo.NAME, LIST)

    assert bufinfo.read(root) == (
        BufInfo(9 << 20, 1, "system", 6),
        BufInfo(1 << 20, 3, "default_cma_region", 5),
    )


def test_none_are_none(root: Root, put: Put) -> None:
    put(bufinfo.NAME, "\nDma-buf Objects:\nsize flags\n\nTotal 0 objects, 0 bytes\n")

    assert bufinfo.read(root) == ()


def test_missing(root: Root) -> None:
    assert bufinfo.read(root) is None


@pytest.mark.parametrize("text", ["", "nonsense\n"])
def test_garbage(root: Root, put: Put, text: str) -> None:
    put(bufinfo.NAME, text)

    with pytest.raises(BadKernelFile, match="bufinfo"):
        bufinfo.read(root)
