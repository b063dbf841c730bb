"""Refaults of /proc/vmstat: good, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import vmstat
from memd.kernel.root import Root

Put = Callable[[str, str], None]
NEW = "nr_free_pages 12\nworkingset_nodes 5\nworkingset_refault_anon 3\nworkingset_refault_file 4\npgpgin 1\n"
OLD = "nr_free_pages 12\nworkingset_refault 9\nworkingset_activate 1\n"


@pytest.mark.parametrize(("text", "pages"), [(NEW, 7), (OLD, 9), ("nr_free_pages 12\n", None)])
def test_good(root: Root, put: Put, text: str, pages: int | None) -> None:
    put("proc/vmstat", text)

    assert vmstat.refaulted(root, 4096) == (None if pages is None else pages * 4096)


def test_missing(root: Root) -> None:
    assert vmstat.refaulted(root) is None


@pytest.mark.parametrize(
    "text", ["", "workingset_refault_anon\n", "workingset_refault_file -3\n", "workingset_refault x\n"]
)
def test_garbage(root: Root, put: Put, text: str) -> None:
    put("proc/vmstat", text)

    with pytest.raises(BadKernelFile, match="vmstat"):
        vmstat.refaulted(root)


def test_this_machine_counts() -> None:
    assert (vmstat.refaulted(Root()) or 0) >= 0
