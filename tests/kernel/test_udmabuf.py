"""/dev/udmabuf's parameter and errors; that it makes buffers is shown on real kernels."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import udmabuf
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


def test_the_limit_is_in_bytes(root: Root, put: Put) -> None:
    put(udmabuf.SIZE_LIMIT, "64\n")

    assert udmabuf.size_limit(root) == 64 << 20


def test_missing_limit(root: Root) -> None:
    assert udmabuf.size_limit(root) is None


def test_garbage_limit(root: Root, put: Put) -> None:
    put(udmabuf.SIZE_LIMIT, "-1\n")

    with pytest.raises(BadKernelFile):
        udmabuf.size_limit(root)


def test_a_missing_device_is_named(root: Root) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        udmabuf.allocate(root.path("dev/udmabuf"), 4096)

    assert caught.value.filename == root.path("dev/udmabuf")


def test_a_plain_file_is_no_device_and_leaves_no_fd(root: Root, put: Put) -> None:
    put("dev/udmabuf", "")

    with pytest.raises(OSError, match="udmabuf") as caught:
        udmabuf.allocate(root.path("dev/udmabuf"), 4096)

    assert caught.value.errno == errno.ENOTTY


def test_the_request_is_as_the_header_has_it() -> None:
    # _IOW('u', 0x42, struct { __u32 memfd; __u32 flags; __u64 offset; __u64 size; })
    assert struct.calcsize("=IIQQ") == udmabuf.REQUEST.size == 24
    assert 1 << 30 | 24 << 16 | ord("u") << 8 | 0x42 == udmabuf.CREATE
