"""Device nodes: the machine's own, what is none, and what is not there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from memd.kernel import nodes
from memd.kernel.root import Root


def test_good() -> None:
    status = os.stat("/dev/null")

    assert nodes.look(Root("/"), "dev/null") == (stat.S_IMODE(status.st_mode), "root", False)


def test_missing(root: Root) -> None:
    assert nodes.look(root, "dev/dma_heap/system") is None


def test_garbage(root: Root, put: Callable[[str, str], None]) -> None:
    put("dev/udmabuf", "a plain file")

    assert nodes.look(root, "dev/udmabuf") is None
