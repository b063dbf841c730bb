"""The simulated heap, real memfds: of the size asked for, sealed, backed, and saying what it is."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator

import pytest

from memd.kernel import simheap


@pytest.fixture
def memory() -> Iterator[int]:
    fd = simheap.allocate(3 * 4096)
    yield fd
    os.close(fd)


def test_it_is_zeroed_memory_that_can_be_mapped(memory: int) -> None:
    with mmap.mmap(memory, 3 * 4096) as mapping:
        assert not any(mapping[:])
        mapping[:4] = b"memd"

    assert os.pread(memory, 4, 0) == b"memd"


def test_its_pages_are_there_from_the_start(memory: int) -> None:
    assert os.fstat(memory).st_blocks * 512 == 3 * 4096


@pytest.mark.parametrize("size", [0, 4096, 4 * 4096])
def test_its_size_is_sealed(memory: int, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(memory, size)


def test_its_name_says_what_it_is(memory: int) -> None:
    assert "simulated" in os.readlink(f"/proc/self/fd/{memory}")


def test_it_is_not_inherited(memory: int) -> None:
    assert not os.get_inheritable(memory)


def test_a_failure_leaves_no_fd() -> None:
    """Not by asking for too much: this kernel would give all it has. The floor is admission's to keep."""
    with pytest.raises(OSError, match="Invalid") as caught:
        simheap.allocate(-1)

    assert caught.value.errno == errno.EINVAL
