"""Heaps' nodes; that allocation works is shown on real kernels, where there are heaps."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest

from memd.kernel import dmaheap
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


def test_names_are_sorted(root: Root, put: Put) -> None:
    put("dev/dma_heap/system", "")
    put("dev/dma_heap/linux,cma", "")

    assert dmaheap.names(root) == ("linux,cma", "system")


def test_a_kernel_without_heaps(root: Root) -> None:
    assert dmaheap.names(root) is None


def test_a_name_that_no_listing_could_show_is_left_out(root: Root, put: Put) -> None:
    put("dev/dma_heap/sys\ntem", "")
    put("dev/dma_heap/caf\udce9", "")

    assert dmaheap.names(root) == ()


def test_a_missing_node_is_named(root: Root) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        dmaheap.allocate(root.path("dev/dma_heap/system"), 4096)

    assert caught.value.filename == root.path("dev/dma_heap/system")


def test_a_plain_file_is_no_heap(root: Root, put: Put) -> None:
    put("dev/dma_heap/system", "")

    with pytest.raises(OSError, match="dma_heap/system") as caught:
        dmaheap.allocate(root.path("dev/dma_heap/system"), 4096)

    assert caught.value.errno == errno.ENOTTY


def test_the_request_is_as_the_header_has_it() -> None:
    # _IOWR('H', 0x0, struct { __u64 len; __u32 fd; __u32 fd_flags; __u64 heap_flags; })
    assert struct.calcsize("=QIIQ") == dmaheap.ALLOCATION.size == 24
    assert 3 << 30 | 24 << 16 | ord("H") << 8 | 0 == dmaheap.ALLOC
