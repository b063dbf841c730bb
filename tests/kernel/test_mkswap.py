"""The signature against the kernel's header and util-linux's own hand; tests/host/test_zram.py shows it to the kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.errors import BadKernelFile
from memd.kernel import mkswap
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
UUID = "12345678-9abc-4def-8123-456789abcdef"
BYTES = bytes.fromhex(UUID.replace("-", ""))


@pytest.mark.parametrize("page", [4096, 16384, 65536])
def test_good(page: int) -> None:
    header = mkswap.signature(64 << 20, page, BYTES, "memd")

    assert len(header) == page
    assert header[-10:] == b"SWAPSPACE2"
    assert int.from_bytes(header[1024:1028], sys.byteorder) == 1
    assert int.from_bytes(header[1028:1032], sys.byteorder) == (64 << 20) // page - 1
    assert header[1032:1036] == bytes(4)
    assert header[1036:1052] == BYTES
    assert header[1052:1068].rstrip(b"\0") == b"memd"
    assert not any(header[:1024])
    assert not any(header[1068:-10])


@pytest.mark.parametrize("page", [4096, 16384, 65536])
@pytest.mark.parametrize("label", ["", "memd", "fifteen-letters"])
@pytest.mark.skipif(not shutil.which("mkswap"), reason="util-linux's mkswap is not installed")
def test_byte_for_byte_as_util_linux(tmp_path: Path, page: int, label: str) -> None:
    device, size = tmp_path / "device", (3 << 20) + 5 * page
    device.touch(mode=0o600)
    with device.open("r+b") as file:
        file.truncate(size)
    subprocess.run(
        ["mkswap", "-p", str(page), "-U", UUID, *(["-L", label] if label else []), device],
        check=True,
        capture_output=True,
    )

    theirs = device.read_bytes()

    assert mkswap.signature(size, page, BYTES, label) == theirs[:page]
    assert not any(theirs[page:])


@pytest.mark.parametrize(
    ("size", "uuid", "label"),
    [
        (0, BYTES, ""),
        (9 * 4096, BYTES, ""),
        ((1 << 32) * 4096 + 4096, BYTES, ""),
        (1 << 20, b"short", ""),
        (1 << 20, BYTES, "sixteen-letters!"),
        (1 << 20, BYTES, "ümlaut"),
    ],
)
def test_what_no_swap_can_be(size: int, uuid: bytes, label: str) -> None:
    with pytest.raises(ValueError, match=r"swap has|UUID|ascii"):
        mkswap.signature(size, 4096, uuid, label)


def test_write_touches_the_first_page_only_and_label_reads_it(tmp_path: Path) -> None:
    device = tmp_path / "zram0"
    device.write_bytes(b"\xff" * (1 << 20))

    mkswap.write(str(device), mkswap.signature(1 << 20, 4096, BYTES, "memd"))

    assert device.read_bytes()[4096:] == b"\xff" * ((1 << 20) - 4096)
    assert mkswap.label(str(device), 4096) == "memd"


@pytest.mark.parametrize("content", [b"", b"SWAPSPACE2", bytes(4096), b"x" * 8192])
def test_no_signature_has_no_label(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "zram0").write_bytes(content)

    assert mkswap.label(str(tmp_path / "zram0"), 4096) is None


def test_write_creates_nothing_and_names_the_device(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        mkswap.write(str(tmp_path / "zram0"), b"")
    assert caught.value.filename == str(tmp_path / "zram0")
    assert not os.listdir(tmp_path)


def test_uuid_good(root: Root, put: Put) -> None:
    put("proc/sys/kernel/random/uuid", UUID + "\n")

    assert mkswap.new_uuid(root) == BYTES


def test_uuid_missing(root: Root) -> None:
    assert mkswap.new_uuid(root) == bytes(16)


def test_uuid_garbage(root: Root, put: Put) -> None:
    put("proc/sys/kernel/random/uuid", "no hex\n")

    with pytest.raises(BadKernelFile):
        mkswap.new_uuid(root)
