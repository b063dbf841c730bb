"""memd.kernel.process: whose a process is; none of that number; nonsense."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import process
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
STATUS = "Name:\tcam:era\nUmask:\t0022\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t27 44 \nNStgid:\t77\n"


def test_good(root: Root, put: Put) -> None:
    put("proc/77/status", STATUS)
    assert process.read(root, 77) == (2, frozenset({6, 27, 44}))

    put("proc/77/status", STATUS.replace("27 44 ", ""))
    assert process.read(root, 77) == (2, frozenset({6}))


def test_this_process() -> None:
    assert process.read(Root(), os.getpid()) == (os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def test_missing(root: Root) -> None:
    assert process.read(root, 77) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Uid:\t1\t2\t3\t4\n",
        STATUS.replace("1\t2\t3\t4", "1\t2"),
        STATUS.replace("5\t", "x\t"),
        STATUS.replace("27", "-1"),
    ],
)
def test_garbage(root: Root, put: Put, text: str) -> None:
    put("proc/77/status", text)

    with pytest.raises(BadKernelFile) as caught:
        process.read(root, 77)
    assert caught.value.path == root.path("proc/77/status")
