"""fdinfo of a buffer, and the ioctls' numbers and errors; that they work is shown on real kernels."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from memd.errors import BadKernelFile
from memd.kernel import dmabuf, simheap
from memd.kernel.dmabuf import DmaBufInfo

HEAD = b"pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t7\nsize:\t8192\ncount:\t2\nexp_name:\tsystem\n"


@pytest.fixture
def memory() -> Iterator[int]:
    fd = simheap.allocate(8192)
    yield fd
    os.close(fd)


def test_good() -> None:
    assert dmabuf.parse(HEAD + b"name:\tmemd:1000:camera\n") == DmaBufInfo(8192, 2, "system", b"memd:1000:camera")


def test_a_buffer_without_a_name() -> None:
    assert dmabuf.parse(HEAD) == DmaBufInfo(8192, 2, "system", b"")


def test_a_forged_name_stays_a_name() -> None:
    info = dmabuf.parse(HEAD + b"name:\tx\nsize:\t1\nexp_name:\tevil\n")

    assert info == DmaBufInfo(8192, 2, "system", b"x\nsize:\t1\nexp_name:\tevil")


def test_missing_what_is_no_buffer_has_no_info(memory: int) -> None:
    assert dmabuf.read(memory) is None
    with pytest.raises(FileNotFoundError):
        dmabuf.read(100_000)


@pytest.mark.parametrize("text", [HEAD.replace(b"8192", b"many"), HEAD.replace(b"count:\t2\n", b"")])
def test_garbage(text: bytes) -> None:
    with pytest.raises(BadKernelFile):
        dmabuf.parse(text)


def test_the_size_is_asked_by_seeking(memory: int) -> None:
    assert dmabuf.size(memory) == 8192


def test_a_memfd_is_no_dma_buf(memory: int) -> None:
    with pytest.raises(OSError, match="Inappropriate ioctl") as caught:
        dmabuf.set_name(memory, b"x" * 99)

    assert caught.value.errno == errno.ENOTTY


def test_the_number_is_as_the_header_has_it() -> None:
    assert 1 << 30 | 8 << 16 | ord("b") << 8 | 1 == dmabuf.SET_NAME
