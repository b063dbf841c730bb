"""The trace of CMA allocations: lines of real kernels, an instance in a directory, and none."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.kernel import tracefs
from memd.kernel.root import Root
from memd.kernel.tracefs import CmaTrace, parse
from memd.model import CmaAllocation

Put = Callable[[str, str], None]
# trace_pipe of 7.3, and as include/trace/events/cma.h of 6.1 writes it.
FAILED = (
    "         python3-243     [000] .....   252.961311: cma_alloc_finish: name=reserved pfn=0x0 page=0000000000000000"
    " count=25600 align=8 errorno=-16"
)
SERVED = (
    "         python3-243     [000] .....   251.932231: cma_alloc_finish: name=reserved pfn=0x3bc00 page=00000000fd2cd3eb"
    " count=256 align=8 errorno=0"
)
OLD_FAILED = " a b [x]: c-1 [001] .....   40.1: cma_alloc_finish: name=my cma pfn=ffffffffffffffff page=0000000000000000 count=3 align=0"


def test_good() -> None:
    assert parse(FAILED) == CmaAllocation("reserved", 25600, 16, 243, "python3", 252.961311)
    assert parse(SERVED) == CmaAllocation("reserved", 256, 0, 243, "python3", 251.932231)
    assert parse(OLD_FAILED) == CmaAllocation("my cma", 3, errno.ENOMEM, 1, "a b [x]: c", 40.1)


RELEASED = "         python3-243     [000] .....   252.961311: cma_release: name=reserved pfn=0x3bc00 page=00000000fd2cd3eb count=512"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "CPU:0 [LOST 12 EVENTS]",
        FAILED.replace("cma_alloc_finish", "cma_alloc_start"),
        FAILED.replace("count=25600", "count=many"),
        FAILED[:-20],
        RELEASED,
    ],
)
def test_garbage(line: str) -> None:
    assert parse(line) is None


def test_missing(root: Root) -> None:
    with pytest.raises(OSError, match="cma_alloc_finish") as caught:
        CmaTrace(root, 256)
    assert caught.value.errno == errno.ENOENT


def instance(put: Put, name: str = "memd") -> None:
    """What the kernel makes where somebody makes the directory."""
    for file in (
        "buffer_size_kb",
        "buffer_percent",
        "trace_clock",
        f"{tracefs.EVENT}/filter",
        f"{tracefs.EVENT}/enable",
        f"{tracefs.RELEASE}/filter",
        f"{tracefs.RELEASE}/enable",
    ):
        put(f"{tracefs.INSTANCES}/{name}/{file}", "")


def test_an_instance_is_set_up_small_and_read(root: Root, put: Put, tmp_path: Path) -> None:
    put(f"{tracefs.TRACING}/{tracefs.EVENT}/format", "field:int errorno;\n")
    instance(put)
    put(f"{tracefs.INSTANCES}/memd/trace_pipe", f"{SERVED}\nCPU:0 [LOST 1 EVENTS]\n{RELEASED}\n{FAILED}\n")
    trace = CmaTrace(root, 256)
    try:
        assert root.read(f"{tracefs.INSTANCES}/memd/buffer_size_kb") == "8"
        assert root.read(f"{tracefs.INSTANCES}/memd/buffer_percent") == "0"
        assert root.read(f"{tracefs.INSTANCES}/memd/{tracefs.EVENT}/filter") == "errorno != 0 || count >= 256"
        assert root.read(f"{tracefs.INSTANCES}/memd/{tracefs.RELEASE}/filter") == "count >= 256"
        assert [one.errno for one in trace.read()] == [0, 16], "a release is none"
        assert trace.read() == []
    finally:
        trace.close()
    assert root.read(f"{tracefs.INSTANCES}/memd/{tracefs.EVENT}/enable") == "0"
    assert root.read(f"{tracefs.INSTANCES}/memd/{tracefs.RELEASE}/enable") == "0"


def test_a_kernel_without_error_numbers(root: Root, put: Put) -> None:
    put(f"{tracefs.TRACING}/{tracefs.EVENT}/format", "field:unsigned long pfn;\n")
    instance(put)
    put(f"{tracefs.INSTANCES}/memd/trace_pipe", "")
    CmaTrace(root, 1).close()

    assert root.read(f"{tracefs.INSTANCES}/memd/{tracefs.EVENT}/filter") == "page == 0 || count >= 1"


def test_a_kernel_that_tells_no_releases(root: Root, put: Put) -> None:
    put(f"{tracefs.TRACING}/{tracefs.EVENT}/format", "field:int errorno;\n")
    instance(put)
    put(f"{tracefs.INSTANCES}/memd/trace_pipe", f"{FAILED}\n")
    for file in ("filter", "enable"):
        os.unlink(root.path(f"{tracefs.INSTANCES}/memd/{tracefs.RELEASE}/{file}"))
    trace = CmaTrace(root, 256)
    assert [one.errno for one in trace.read()] == [16]
    trace.close()


def test_what_cannot_be_set_up_leaves_nothing(root: Root, put: Put, tmp_path: Path) -> None:
    put(f"{tracefs.TRACING}/{tracefs.EVENT}/format", "field:int errorno;\n")
    (tmp_path / tracefs.INSTANCES).mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        CmaTrace(root, 256)

    assert os.listdir(tmp_path / tracefs.INSTANCES) == []
