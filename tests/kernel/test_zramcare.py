"""memd.kernel.zramcare: counters good, missing and garbage; and what is written where. Real devices: tests/host, tests/vm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import zramcare
from memd.kernel.root import Root
from memd.model_care import ZramCounters

Put = Callable[[str, str | bytes], None]
ZRAM = "sys/block/zram0"


@pytest.fixture
def device(put: Put) -> None:
    put(f"{ZRAM}/mm_stat", "  8192000  3001234  3145728        0  4194304      12       7       9      44\n")
    put(f"{ZRAM}/io_stat", "       1        2 0        3\n")
    put(f"{ZRAM}/bd_stat", "      10       20       30\n")
    put(f"{ZRAM}/backing_dev", "/dev/dm-0\n")
    put(f"{ZRAM}/recomp_algorithm", "#1: lzo-rle lzo lz4 [zstd] \n" + 27 * "\0" + "#2: lzo-rle lzo lz4 zstd\n")
    for name in ("idle", "recompress", "writeback", "writeback_limit", "writeback_limit_enable", "compact"):
        put(f"{ZRAM}/{name}", "")
    put("dev/dm-0", "")
    put("sys/class/block/dm-0/size", "2048\n")


@pytest.mark.usefixtures("device")
def test_good(root: Root) -> None:
    assert zramcare.counters(root, "zram0", page=16384) == ZramCounters(
        original=8192000, compressed=3001234, mem_used=3145728, compacted=7 * 16384, huge_since=44,
        failed_reads=1, failed_writes=2, backed=40960, read_back=81920, written_back=122880,
    )  # fmt: skip
    assert zramcare.backing_device(root, "zram0") == "/dev/dm-0"
    assert zramcare.backing_size(root, "/dev/dm-0") == 1 << 20
    assert zramcare.recompressors(root, "zram0") == {1: "zstd"}


def test_an_older_kernel_counts_less(root: Root, put: Put) -> None:
    put(f"{ZRAM}/mm_stat", "0 0 0 0 0 0 0\n")

    assert zramcare.counters(root, "zram0") == ZramCounters(original=0, compressed=0, mem_used=0)
    assert zramcare.backing_device(root, "zram0") is None
    assert zramcare.recompressors(root, "zram0") == {}
    assert not zramcare.can(root, "zram0", "recompress")


def test_missing(root: Root) -> None:
    with pytest.raises(FileNotFoundError):
        zramcare.counters(root, "zram0")
    with pytest.raises(FileNotFoundError):
        zramcare.writeback_left(root, "zram0")
    with pytest.raises(FileNotFoundError):
        zramcare.write_back(root, "zram0", "idle")
    assert zramcare.backing_size(root, "/dev/dm-9") is None


@pytest.mark.parametrize(
    ("file", "text"),
    [("mm_stat", "1 2 3\n"), ("mm_stat", "a 0 0 0 0 0 0\n"), ("io_stat", "-1 0 0 0\n"), ("bd_stat", "1 2\n")],
)
def test_garbage(root: Root, put: Put, device: None, file: str, text: str) -> None:
    put(f"{ZRAM}/{file}", text)

    with pytest.raises(BadKernelFile) as caught:
        zramcare.counters(root, "zram0")
    assert caught.value.path.endswith(file)


@pytest.mark.parametrize("text", ["zstd\n", "#x: [zstd]\n", "#1: [zstd] [lz4]\n"])
def test_garbage_of_algorithms(root: Root, put: Put, text: str) -> None:
    put(f"{ZRAM}/recomp_algorithm", text)

    with pytest.raises(BadKernelFile):
        zramcare.recompressors(root, "zram0")


def test_no_backing_device_is_said_as_none(root: Root, put: Put) -> None:
    put(f"{ZRAM}/backing_dev", "none\n")

    assert zramcare.backing_device(root, "zram0") is None


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    ("action", "file", "text"),
    [
        (lambda root: zramcare.mark_idle(root, "zram0", 7200), "idle", "7200"),
        (lambda root: zramcare.mark_idle(root, "zram0", None), "idle", "all"),
        (
            lambda root: zramcare.recompress(root, "zram0", "idle", 1, 64, 1024),
            "recompress",
            "type=idle max_pages=64 priority=1 threshold=1024",
        ),
        (
            lambda root: zramcare.recompress(root, "zram0", "huge", 2, 64),
            "recompress",
            "type=huge max_pages=64 priority=2",
        ),
        (lambda root: zramcare.limit_writeback(root, "zram0", 10_000), "writeback_limit", "2"),
        (lambda root: zramcare.limit_writeback(root, "zram0", 10_000), "writeback_limit_enable", "1"),
        (lambda root: zramcare.write_back(root, "zram0", "huge_idle"), "writeback", "huge_idle"),
        (lambda root: zramcare.compact(root, "zram0"), "compact", "1"),
    ],
)
def test_what_is_written(root: Root, action: Callable[[Root], None], file: str, text: str) -> None:
    action(root)

    assert root.read(f"{ZRAM}/{file}") == text


def test_what_is_left_of_the_limit(root: Root, put: Put) -> None:
    put(f"{ZRAM}/writeback_limit", "3\n")

    assert zramcare.writeback_left(root, "zram0") == 3 * 4096
