"""The heaps' ioctl: what its struct asks, as the kernel reads it, and what a refusal becomes."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd import errors
from memd.client.errors import LOCAL
from memd.policy import heapioctl
from memd.policy.heapioctl import CLOEXEC, Wanted

ALLOC = 0xC0184800


def raw(size: int = 4096, fd: int = 0, fd_flags: int = 2, heap_flags: int = 0) -> bytes:
    return struct.pack("=QIIQ", size, fd, fd_flags, heap_flags)


def test_what_is_wanted() -> None:
    assert heapioctl.parse(raw(5, fd_flags=2)) == Wanted(5, 0)
    assert heapioctl.parse(raw(5, fd_flags=2 | CLOEXEC)) == Wanted(5, CLOEXEC)


@pytest.mark.parametrize(
    "wrong", [raw(0), raw(fd=1), raw(fd_flags=0o2000), raw(heap_flags=1), b"", raw()[:4] and bytes(8)]
)
def test_what_the_kernel_refuses(wrong: bytes) -> None:
    assert heapioctl.parse(wrong) == errno.EINVAL


def test_a_short_struct_is_filled_with_zeros() -> None:
    assert heapioctl.parse(raw()[:8]) == Wanted(4096, 0)


@given(st.binary(max_size=24))
def test_every_struct_has_an_answer(given_bytes: bytes) -> None:
    assert isinstance(heapioctl.parse(given_bytes), Wanted | int)


def test_how_much_of_the_programs_struct_is_touched() -> None:
    assert heapioctl.taken(ALLOC) == 24
    assert heapioctl.taken(ALLOC + (8 << 16)) == 24  # a later header's
    assert heapioctl.taken(0x4800) == 0


def test_every_error_of_memds_has_an_errno_of_the_kernels() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MemdError)]
    found = {kind.__name__: heapioctl.number(kind(())) for kind in kinds if kind not in LOCAL}

    assert set(found.values()) == {errno.ENOMEM, errno.EACCES, errno.EINVAL, errno.ENODEV}
    assert found["NoMemory"] == errno.ENOMEM
    assert found["NotAllowed"] == errno.EACCES


def test_files() -> None:
    assert heapioctl.files(["system", "a/b", ""], [("linux,cma", "contiguous"), ("system", "any")]) == {
        "system": "any",
        "linux,cma": "contiguous",
    }
