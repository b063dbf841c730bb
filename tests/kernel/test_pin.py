"""Pages that a mapping gives away. (Mappings that give none are a DMA-BUF heap's: tests/vm.)"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from memd.kernel import pin


def test_shared_memory_can_be_pinned() -> None:
    memory = os.memfd_create("test")
    try:
        os.ftruncate(memory, mmap.PAGESIZE)
        assert pin.can_pin(memory)
    finally:
        os.close(memory)


def test_what_cannot_be_mapped_is_an_error_and_leaves_no_fd() -> None:
    event = os.eventfd(0)
    before = os.listdir("/proc/self/fd")
    try:
        with pytest.raises(OSError, match="No such device"):
            pin.can_pin(event)
        assert os.listdir("/proc/self/fd") == before
    finally:
        os.close(event)


def test_a_page_that_is_not_there_cannot_be_pinned(tmp_path: Path) -> None:
    """EFAULT, as for mappings by page frame number: behind the end of a file."""
    empty = tmp_path / "empty"
    empty.write_bytes(b"1" * mmap.PAGESIZE)
    file = os.open(empty, os.O_RDWR)
    try:
        with mmap.mmap(file, mmap.PAGESIZE) as memory:
            os.ftruncate(file, 0)
            ends = os.pipe2(os.O_NONBLOCK)
            assert not pin._vmsplice(ends[1], memory)
            for end in ends:
                os.close(end)
    finally:
        os.close(file)
