"""Three tests per kernel file: good, missing, garbage; and the writes, which create nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.errors import BadKernelFile
from memd.kernel import zram
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
FILES = {
    "disksize": "268435456\n",
    "initstate": "1\n",
    "comp_algorithm": "lzo [lz4] zstd\n",
    "mm_stat": " 4096     1234    8192   65536   12288        3        7        2        5\n",
    "dev": "253:0\n",
    "reset": "",
}


@pytest.fixture
def device(put: Put) -> Callable[..., None]:
    def make(name: str = "zram0", **changed: str) -> None:
        for attribute, text in (FILES | changed).items():
            put(f"sys/block/{name}/{attribute}", text)

    return make


def test_good(root: Root, device: Callable[..., None]) -> None:
    device()

    stat = zram.read(root, "zram0")

    assert (stat.disksize, stat.initstate) == (256 << 20, True)
    assert (stat.algorithm, stat.algorithms) == ("lz4", ("lzo", "lz4", "zstd"))
    assert (stat.original, stat.compressed, stat.mem_used) == (4096, 1234, 8192)
    assert (stat.mem_limit, stat.mem_used_max, stat.same_pages, stat.huge_pages) == (65536, 12288, 3, 2)


def test_an_older_kernel_counts_no_huge_pages_which_is_not_0(root: Root, device: Callable[..., None]) -> None:
    device(mm_stat="0 0 0 0 0 0 0\n")

    assert zram.read(root, "zram0").huge_pages is None


@pytest.mark.parametrize("name", ["zram1", "vda", "zram", "zram0/../zram0", "zramx"])
def test_missing(root: Root, device: Callable[..., None], name: str) -> None:
    device()

    with pytest.raises(FileNotFoundError) as caught:
        zram.read(root, name)
    assert caught.value.filename.startswith(root.directory)


@pytest.mark.parametrize("attribute", ["disksize", "initstate", "comp_algorithm", "mm_stat"])
def test_missing_attribute(root: Root, device: Callable[..., None], attribute: str) -> None:
    device()
    os.unlink(root.path(f"sys/block/zram0/{attribute}"))

    with pytest.raises(FileNotFoundError, match=attribute):
        zram.read(root, "zram0")


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ("disksize", ""),
        ("disksize", "256M"),
        ("disksize", "-1"),
        ("initstate", "2"),
        ("comp_algorithm", "lzo lz4"),
        ("comp_algorithm", "[]"),
        ("comp_algorithm", "[lzo] [lz4]"),
        ("mm_stat", ""),
        ("mm_stat", "1 2 3 4 5 6"),
        ("mm_stat", "1 2 3 x 5 6 7"),
    ],
)
def test_garbage(root: Root, device: Callable[..., None], attribute: str, text: str) -> None:
    device(**{attribute: text})

    with pytest.raises(BadKernelFile) as caught:
        zram.read(root, "zram0")
    assert caught.value.path == root.path(f"sys/block/zram0/{attribute}")


def test_all_devices_in_the_order_of_their_numbers(root: Root, put: Put, device: Callable[..., None]) -> None:
    for name in ("zram10", "zram2", "zram0"):
        device(name)
    put("sys/block/vda/size", "1")

    assert [stat.name for stat in zram.read_all(root)] == ["zram0", "zram2", "zram10"]


def test_no_zram_is_no_device_and_no_error(root: Root) -> None:
    assert zram.read_all(root) == ()
    assert not zram.has_control(root)


def test_reading_devices_never_reads_hot_add(root: Root, put: Put, device: Callable[..., None]) -> None:
    device()
    put("sys/class/zram-control/hot_add", "1\n")
    os.utime(root.path("sys/class/zram-control/hot_add"), ns=(0, 10**9))

    zram.read_all(root)
    zram.has_control(root)

    assert os.stat(root.path("sys/class/zram-control/hot_add")).st_atime_ns == 0
    assert zram.add(root) == "zram1"


def test_a_kernel_that_cannot_add_says_so(root: Root) -> None:
    with pytest.raises(FileNotFoundError, match="cannot add"):
        zram.add(root)


def test_garbage_in_hot_add(root: Root, put: Put) -> None:
    put("sys/class/zram-control/hot_add", "-12\n")

    with pytest.raises(BadKernelFile):
        zram.add(root)


def test_writes_are_what_the_kernel_wants(root: Root, put: Put, device: Callable[..., None], tmp_path: Path) -> None:
    device()
    put("sys/class/zram-control/hot_remove", "")

    zram.set_algorithm(root, "zram0", "zstd")
    zram.set_disksize(root, "zram0", 1 << 30)
    zram.reset(root, "zram0")
    zram.remove(root, "zram0")

    block = tmp_path / "sys/block/zram0"
    assert (block / "comp_algorithm").read_text() == "zstd"
    assert (block / "disksize").read_text() == "1073741824"
    assert (block / "reset").read_text() == "1"
    assert (tmp_path / "sys/class/zram-control/hot_remove").read_text() == "0"


def test_writing_to_a_device_that_is_not_there_creates_nothing(root: Root, put: Put) -> None:
    put("sys/block/zram0/dev", "253:0")

    with pytest.raises(FileNotFoundError):
        zram.set_disksize(root, "zram0", 4096)
    assert os.listdir(root.path("sys/block/zram0")) == ["dev"]


def namespaces(root: Root, ours: str, first: str) -> None:
    for process, number in (("self", ours), ("1", first)):
        folder = root.path(f"proc/{process}/ns")
        os.makedirs(folder)
        os.symlink(f"mnt:[{number}]", f"{folder}/mnt")


def test_node_in_the_first_mount_namespace_is_in_dev(root: Root, put: Put, device: Callable[..., None]) -> None:
    device()
    put("dev/zram0", "")
    put("proc/1/root/dev/zram0", "")
    namespaces(root, "4026531832", "4026531832")

    assert zram.node(root, "zram0") == root.path("dev/zram0")


def test_node_in_a_sandbox_is_that_of_pid_1(root: Root, put: Put, device: Callable[..., None]) -> None:
    device()
    put("dev/zram0", "")
    put("proc/1/root/dev/zram0", "")
    namespaces(root, "4026532999", "4026531832")

    assert zram.node(root, "zram0") == root.path("proc/1/root/dev/zram0")


def test_node_in_a_sandbox_that_may_not_enter_pid_1_is_in_dev(
    root: Root, put: Put, device: Callable[..., None]
) -> None:
    device()
    put("dev/zram0", "")
    namespaces(root, "4026532999", "4026531832")

    assert zram.node(root, "zram0") == root.path("dev/zram0")


def test_node_missing(root: Root, device: Callable[..., None]) -> None:
    device()

    with pytest.raises(FileNotFoundError, match="no device node for zram0"):
        zram.node(root, "zram0")


def test_a_node_that_is_no_device_is_none(put: Put) -> None:
    """The real machine: a plain file or another device under that name must never get a signature."""
    assert not zram._names_device(Root(), "/dev/null", "1:3")
    assert not zram._names_device(Root(), "/etc/passwd", "253:0")
