"""Each attribute degrades by itself, and a disksize that is refused is tried with less; only one that can't be had at all is an error.

The device is a directory that forgets as 7.2 does: a disksize that fails takes algorithms and parameters with it (tests/vm holds this).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from memd.early import ZramSettings
from memd.kernel.root import Root
from memd.service.zramclaim import Claim, Sizes, Taken

Put = Callable[[str, str | bytes], None]
OWN = "[lzo-rle] lzo lz4 zstd deflate"
FILES = {
    "initstate": "0",
    "disksize": "0",
    "comp_algorithm": OWN,
    "mm_stat": "0 0 0 0 0 0 0 0 0",
    "mem_limit": "",
    "recomp_algorithm": "",
    "algorithm_params": "",
    "backing_dev": "none",
    "compressed_writeback": "0",
    "writeback_batch_size": "32",
}
DEVICE = "sys/block/zram0"
ALL = ZramSettings(
    algorithms=("zstd(level=3)", "lz4"),
    recompress=("deflate(level=9)",),
    mem_limit="8M",
    compressed_writeback=True,
    writeback_batch=64,
)
SIZES = Sizes(disksize=16 << 20, limit=8 << 20)


class Device(Root):
    """`refuse(attribute, text)`: an errno or 0. `writes`: what was taken."""

    def __init__(self, directory: str, refuse: Callable[[str, str], int] = lambda *_: 0) -> None:
        super().__init__(directory)
        self.refuse = refuse
        self.writes: list[str] = []

    def write(self, name: str, text: str) -> None:
        attribute = name.rpartition("/")[2]
        error = self.refuse(attribute, text)
        if error:
            if attribute == "disksize":
                super().write(f"{DEVICE}/comp_algorithm", OWN)
            raise OSError(error, os.strerror(error), self.path(name))
        plain = OWN.replace("[", "").replace("]", "")
        super().write(name, plain.replace(text, f"[{text}]", 1) if attribute == "comp_algorithm" else text)
        self.writes.append(f"{attribute} {text}")


@pytest.fixture
def device(root: Root, put: Put) -> Device:
    for name, text in FILES.items():
        put(f"{DEVICE}/{name}", text)
    return Device(root.directory)


def claim(device: Device, settings: ZramSettings = ALL) -> tuple[str, list[str]]:
    work = Claim(device, "zram0", settings, lambda _: None)
    return work.run(SIZES), work.told


def chosen(device: Device) -> str:
    return next(word for word in (device.read(f"{DEVICE}/comp_algorithm") or "").split() if word.startswith("["))


def test_everything_in_the_kernels_order(device: Device) -> None:
    assert claim(device) == ("zstd", [])
    assert device.writes == [
        "compressed_writeback 1",
        "writeback_batch_size 64",
        "comp_algorithm zstd",
        "algorithm_params priority=0 level=3",
        "recomp_algorithm algo=deflate priority=1",
        "algorithm_params priority=1 level=9",
        f"disksize {16 << 20}",
        f"mem_limit {8 << 20}",
    ]


def test_an_old_kernel_is_told_of_once_for_each_that_it_lacks(device: Device) -> None:
    for name in list(FILES)[5:]:
        os.unlink(device.path(f"{DEVICE}/{name}"))

    algorithm, told = claim(device)

    assert algorithm == "zstd"
    assert device.writes == ["comp_algorithm zstd", f"disksize {16 << 20}", f"mem_limit {8 << 20}"]
    assert len(told) == len(set(told)) == 4
    assert all(line.endswith("is left away: this kernel does not have it") for line in told)


@pytest.mark.parametrize("where", ["comp_algorithm", "disksize"])
def test_a_module_that_is_missing_costs_the_algorithm_only(device: Device, where: str) -> None:
    """Old kernels tell when it is chosen, some when the size is written."""
    device.refuse = lambda name, text: (
        errno.EINVAL * (text == "zstd" if where == "comp_algorithm" else name == where and chosen(device) == "[zstd]")
    )

    algorithm, told = claim(device)

    assert algorithm == "lz4"
    assert device.writes[-1] == f"mem_limit {8 << 20}"
    assert sum("zstd(level=3) and then deflate(level=9) is refused" in line for line in told) == 1


def test_a_level_out_of_range_costs_the_parameters_only(device: Device) -> None:
    device.refuse = lambda name, _: (
        errno.EINVAL * (name == "disksize" and "algorithm_params priority=0 level=3" in device.writes[-4:])
    )

    algorithm, told = claim(device)

    assert algorithm == "zstd"
    assert device.writes[-3:] == [
        "recomp_algorithm algo=deflate priority=1",
        f"disksize {16 << 20}",
        f"mem_limit {8 << 20}",
    ]
    words = "zstd(level=3) and then deflate(level=9) is refused by this kernel"
    assert told == [f"{words} (Invalid argument ({device.path(DEVICE)}/disksize))"]


def test_secondary_algorithms_are_left_away_before_the_first_one_is(device: Device) -> None:
    device.refuse = lambda name, _: (
        errno.EINVAL * (name == "disksize" and device.writes[-1].startswith(("recomp", "algorithm_params priority=1")))
    )

    assert claim(device)[0] == "zstd"


def test_no_room_is_an_error_at_once(device: Device) -> None:
    tried: list[str] = []

    def refuse(name: str, text: str) -> int:
        tried.extend([text] * (name == "disksize"))
        return errno.ENOMEM * (name == "disksize")

    device.refuse = refuse

    with pytest.raises(OSError, match="Cannot allocate memory"):
        claim(device)
    assert len(tried) == 1


def test_a_size_that_is_never_taken_is_an_error(device: Device) -> None:
    device.refuse = lambda name, _: errno.EINVAL * (name == "disksize")

    with pytest.raises(OSError, match="Invalid argument") as caught:
        claim(device)
    assert caught.value.filename == device.path(f"{DEVICE}/disksize")


@pytest.mark.parametrize("where", ["comp_algorithm", "disksize"])
def test_a_device_that_somebody_took_is_his(device: Device, where: str) -> None:
    device.refuse = lambda name, _: errno.EBUSY * (name == where)

    with pytest.raises(Taken):
        claim(device)


def test_a_dictionary_that_is_not_there(device: Device) -> None:
    device.refuse = lambda name, text: errno.ENOENT * (name == "algorithm_params" and "dict=" in text)

    algorithm, told = claim(device, ZramSettings(algorithms=("zstd(dict=/nowhere)",)))

    assert algorithm == "zstd"
    assert told == [
        f"(dict=/nowhere) of zstd is left away: No such file or directory ({device.path(DEVICE)}/algorithm_params)"
    ]


def test_a_limit_that_is_refused_is_no_failure(device: Device) -> None:
    device.refuse = lambda name, _: errno.EINVAL * (name == "mem_limit")

    algorithm, told = claim(device)

    assert algorithm == "zstd"
    assert "MemLimit=8M is left away" in told[0]


def test_a_backing_device_that_zram_refuses(device: Device, put: Put) -> None:
    put("dev/sda3", "")
    put("sys/class/block/sda3/size", "131072\n")
    put("run/blkid/sda3", "DEVNAME=/dev/sda3\n")
    device.refuse = lambda name, _: errno.EBUSY * (name == "backing_dev")

    algorithm, told = claim(device, ZramSettings(backing_device="/dev/sda3", backing_encrypted=False))

    assert algorithm == "zstd"
    assert "BackingDevice=/dev/sda3 is left away: Device or resource busy" in told[0]
