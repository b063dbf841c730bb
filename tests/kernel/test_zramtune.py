"""What else a zram device can be told: written as the kernel reads it, and nothing is made where it has no file for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memd.kernel import zramtune
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
WRITES: list[tuple[str, Callable[[Root], None], str]] = [
    ("recomp_algorithm", lambda root: zramtune.set_secondary(root, "zram0", "zstd", 1), "algo=zstd priority=1"),
    (
        "algorithm_params",
        lambda root: zramtune.set_parameters(root, "zram0", 0, ("level=3", "dict=/etc/d")),
        "priority=0 level=3 dict=/etc/d",
    ),
    ("backing_dev", lambda root: zramtune.set_backing(root, "zram0", "/dev/sda3"), "/dev/sda3"),
    ("compressed_writeback", lambda root: zramtune.set_compressed_writeback(root, "zram0", compressed=True), "1"),
    ("compressed_writeback", lambda root: zramtune.set_compressed_writeback(root, "zram0", compressed=False), "0"),
    ("writeback_batch_size", lambda root: zramtune.set_batch(root, "zram0", 64), "64"),
    ("mem_limit", lambda root: zramtune.set_limit(root, "zram0", 1 << 30), "1073741824"),
]


@pytest.mark.parametrize(("attribute", "write", "text"), WRITES, ids=[f"{name} {text}" for name, _, text in WRITES])
def test_written(root: Root, put: Put, attribute: str, write: Callable[[Root], None], text: str) -> None:
    put(f"sys/block/zram0/{attribute}", "")

    write(root)

    assert root.read(f"sys/block/zram0/{attribute}") == text


@pytest.mark.parametrize("write", [write for _, write, _ in WRITES], ids=[name for name, _, _ in WRITES])
def test_not_there(root: Root, put: Put, write: Callable[[Root], None]) -> None:
    put("sys/block/zram0/disksize", "0")

    with pytest.raises(FileNotFoundError):
        write(root)

    assert list(Path(root.path("sys/block/zram0")).iterdir()) == [Path(root.path("sys/block/zram0/disksize"))]


def test_has(root: Root, put: Put) -> None:
    put("sys/block/zram0/mem_limit", "")

    assert zramtune.has(root, "zram0", "mem_limit")
    assert not zramtune.has(root, "zram0", "backing_dev")


@pytest.mark.parametrize(("text", "path"), [("none\n", None), (None, None), ("/dev/dm-0\n", "/dev/dm-0")])
def test_backing(root: Root, put: Put, text: str | None, path: str | None) -> None:
    if text is not None:
        put("sys/block/zram0/backing_dev", text)

    assert zramtune.backing(root, "zram0") == path
