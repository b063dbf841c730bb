"""The kernel's configuration: packed in /proc, plain in /boot, absent, garbage."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import kconfig
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
TEXT = '#\n# Automatically generated\n#\nCONFIG_CMA=y\nCONFIG_CMA_AREAS=7\n# CONFIG_PSI is not set\nCONFIG_LOCALVERSION="-memd"\n'
PARSED = {"CMA": "y", "CMA_AREAS": "7", "LOCALVERSION": "-memd"}


def test_good_packed(root: Root, put: Put) -> None:
    put("proc/config.gz", gzip.compress(TEXT.encode()))

    assert kconfig.read(root) == PARSED


def test_good_in_boot(root: Root, put: Put) -> None:
    put("proc/sys/kernel/osrelease", "6.1.0-x\n")
    put("boot/config-6.1.0-x", TEXT)

    assert kconfig.read(root) == PARSED


def test_missing(root: Root, put: Put) -> None:
    assert kconfig.read(root) is None
    put("proc/sys/kernel/osrelease", "6.1.0-x\n")
    assert kconfig.read(root) is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"no gzip", gzip.compress(TEXT.encode())[:-9], gzip.compress(b"nothing"), gzip.compress(bytes(9 << 20))],
)
def test_garbage(root: Root, put: Put, raw: bytes) -> None:
    put("proc/config.gz", raw)

    with pytest.raises(BadKernelFile, match=r"config\.gz"):
        kconfig.read(root)
