"""The largest free run of debugfs: good, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import cmadebug
from memd.kernel.root import Root

Put = Callable[[str, str], None]


def test_good(root: Root, put: Put) -> None:
    put(f"{cmadebug.DIRECTORY}/reserved/maxchunk", "16384\n")
    put(f"{cmadebug.DIRECTORY}/cma-old/maxchunk", "2\n")
    put(f"{cmadebug.DIRECTORY}/silent/count", "5\n")

    assert cmadebug.largest_runs(root, 4096) == {"reserved": 64 << 20, "old": 8192}


def test_missing(root: Root) -> None:
    assert cmadebug.largest_runs(root) == {}


@pytest.mark.parametrize("text", ["", "-1\n", "0x10\n", "many\n"])
def test_garbage(root: Root, put: Put, text: str) -> None:
    put(f"{cmadebug.DIRECTORY}/reserved/maxchunk", text)

    with pytest.raises(BadKernelFile, match="maxchunk"):
        cmadebug.largest_runs(root)
