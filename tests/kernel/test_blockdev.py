"""memd.kernel.blockdev: good, missing, garbage; and blkid's own words about real files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.errors import BadKernelFile, NotSupported
from memd.kernel import blockdev
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


@pytest.fixture
def disk(put: Put) -> None:
    put("dev/sda3", "")
    put("sys/class/block/sda3/size", "131072\n")
    put("sys/class/block/sda3/ro", "0\n")
    put("sys/class/block/sda3/dev", "8:3\n")
    put("sys/power/resume", "8:2\n")
    put("run/blkid/sda3", "DEVNAME=/dev/sda3\nTYPE=ext4\nLABEL=my\\ disk\n")


@pytest.mark.usefixtures("disk")
def test_good(root: Root) -> None:
    found = blockdev.read(root, "/dev/sda3")

    assert (found.name, found.size, found.held, found.holders, found.resume) == ("sda3", 64 << 20, False, (), False)
    assert found.signature == {"DEVNAME": "/dev/sda3", "TYPE": "ext4", "LABEL": "my disk"}


@pytest.mark.usefixtures("disk")
def test_whoever_stands_on_it_or_on_its_parts(root: Root, put: Put) -> None:
    put("sys/class/block/sda3/holders/dm-1", "")
    put("sys/class/block/sda3/sda3p1/partition", "1\n")
    put("sys/class/block/sda3p1/holders/md0", "")
    put("sys/power/resume", "8:3\n")

    found = blockdev.read(root, "/dev/sda3")

    assert (found.holders, found.children, found.resume) == (("dm-1", "md0"), ("sda3p1",), True)


@pytest.mark.usefixtures("disk")
def test_a_partition_is_asked_for_its_disk(root: Root, put: Put, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "sys/class/block/sda3")
    put("sys/devices/sda/sda3/partition", "3\n")
    put("sys/devices/sda/holders/dm-7", "")
    for name, target in (("sda", "sys/devices/sda"), ("sda3", "sys/devices/sda/sda3")):
        os.symlink(tmp_path / target, tmp_path / "sys/class/block" / name)

    assert blockdev.read(root, "/dev/sda3").holders == ("dm-7",)


def test_missing(root: Root) -> None:
    with pytest.raises(FileNotFoundError):
        blockdev.read(root, "/dev/sda3")


def test_what_is_no_block_device() -> None:
    with pytest.raises(NotSupported, match="no block device"):
        blockdev.read(Root(), "/dev/null")


@pytest.mark.parametrize("text", ["nonsense\n", "=x\n", "A B=c\n"])
def test_garbage(root: Root, put: Put, disk: None, text: str) -> None:
    put("run/blkid/sda3", text)

    with pytest.raises(BadKernelFile):
        blockdev.read(root, "/dev/sda3")


def test_nobody_can_tell_without_blkid(root: Root, disk: None, tmp_path: Path) -> None:
    (tmp_path / "run/blkid/sda3").unlink()

    assert blockdev.read(root, "/dev/sda3").signature is None


def test_blkids_own_words(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(8 << 20))
    image.chmod(0o600)

    assert blockdev._signature(Root(), str(image)) == {}
    subprocess.run(["/usr/sbin/mkswap", "-L", "memd", str(image)], check=True, capture_output=True)
    found = blockdev._signature(Root(), str(image))
    assert found is not None
    assert (found["TYPE"], found["LABEL"]) == ("swap", "memd")
