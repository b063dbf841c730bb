"""What memd believes of zram's files, held against this kernel: orders, errors and what is forgotten. One device of the tests' own."""

import errno
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CONTROL = Path("/sys/class/zram-control")
MIB = 1 << 20
NEW = pytest.mark.needs("zram-recompression")


class Device:
    def __init__(self) -> None:
        self.name = f"zram{(CONTROL / 'hot_add').read_text().strip()}"
        self.path = Path("/sys/block") / self.name

    def read(self, attribute: str) -> str:
        return (self.path / attribute).read_text().strip()

    def write(self, attribute: str, text: object) -> int:
        """0 or errno."""
        fd = os.open(self.path / attribute, os.O_WRONLY)
        try:
            os.write(fd, str(text).encode())
        except OSError as error:
            return error.errno or -1
        finally:
            os.close(fd)
        return 0

    def reset(self, text: object = 1) -> int:
        """As `write`, when udev has looked at the device and closed it."""
        for _ in range(100):
            if (error := self.write("reset", text)) != errno.EBUSY:
                return error
            time.sleep(0.05)
        return errno.EBUSY

    def chosen(self) -> str:
        return next(word[1:-1] for word in self.read("comp_algorithm").split() if word.startswith("["))


def remove(name: str) -> int:
    fd = os.open(CONTROL / "hot_remove", os.O_WRONLY)
    try:
        os.write(fd, name.removeprefix("zram").encode())
    except OSError as error:
        return error.errno or -1
    finally:
        os.close(fd)
    return 0


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device()
    yield made
    for _ in range(100):
        if remove(made.name) in (0, errno.ENODEV):
            return
        time.sleep(0.05)
    raise AssertionError(f"{made.name} stays")


def test_hot_add_makes_a_device_when_it_is_read_and_only_root_may(device: Device) -> None:
    assert stat.S_IMODE((CONTROL / "hot_add").stat().st_mode) == 0o400
    assert stat.S_IMODE((CONTROL / "hot_remove").stat().st_mode) == 0o200
    assert device.read("initstate") == "0"
    os.close(os.open(CONTROL / "hot_add", os.O_RDONLY))  # memd's lock: opened, and not read
    assert len(list(Path("/sys/block").glob("zram*"))) == 1 + len([1 for _ in [device]])


def test_hot_remove_of_an_open_and_of_no_device(device: Device) -> None:
    assert device.write("disksize", 8 * MIB) == 0
    fd = os.open(f"/dev/{device.name}", os.O_RDONLY)
    try:
        assert remove(device.name) == errno.EBUSY
        assert device.write("reset", 1) == errno.EBUSY
    finally:
        os.close(fd)
    assert remove("zram4711") == errno.ENODEV


def test_algorithm_then_disksize(device: Device) -> None:
    assert device.write("comp_algorithm", "nonsense") == errno.EINVAL
    assert device.write("comp_algorithm", "lz4\n") == 0
    assert device.chosen() == "lz4"
    assert device.write("disksize", "0") == errno.EINVAL
    assert device.write("disksize", "8M") == 0
    assert device.read("disksize") == str(8 * MIB)
    assert device.write("disksize", "16M") == errno.EBUSY
    assert device.write("comp_algorithm", "lzo") == errno.EBUSY


def test_limit_is_written_at_any_time_and_read_in_mm_stat(device: Device) -> None:
    assert stat.S_IMODE((device.path / "mem_limit").stat().st_mode) & 0o444 == 0
    assert device.write("mem_limit", "nonsense") == errno.EINVAL
    assert device.write("disksize", 8 * MIB) == 0
    assert device.write("mem_limit", 4 * MIB) == 0
    assert device.read("mm_stat").split()[3] == str(4 * MIB)
    assert device.write("mem_used_max", 5) == errno.EINVAL
    assert device.write("mem_used_max", 0) == 0


def test_reset(device: Device) -> None:
    assert device.write("mem_limit", 4 * MIB) == 0
    assert device.write("disksize", 8 * MIB) == 0
    assert device.reset(0) == errno.EINVAL
    assert device.reset() == 0
    assert device.read("disksize") == "0"
    assert device.read("mm_stat").split()[3] == "0"


def test_before_it_has_a_size(device: Device) -> None:
    assert device.write("idle", "all") == errno.EINVAL
    assert device.write("compact", 1) == errno.EINVAL
    assert device.reset() == 0


def test_mm_stat_has_nine_columns(device: Device) -> None:
    assert len(device.read("mm_stat").split()) == 9
    assert len(device.read("io_stat").split()) == 4


@pytest.mark.needs("zram-writeback")
def test_backing_device_comes_before_the_size_and_is_for_one_alone(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(MIB))
    assert device.read("backing_dev") == "none"
    assert device.write("backing_dev", tmp_path / "file") == errno.ENOTBLK
    assert device.write("backing_dev", "/dev/zram0") == errno.EBUSY  # it is swap
    assert device.write("disksize", 8 * MIB) == 0
    assert device.write("backing_dev", "/dev/zram0") == errno.EBUSY


@NEW
def test_secondary_algorithms_and_parameters(device: Device) -> None:
    assert device.write("algorithm_params", "algo=zstd level=3") == errno.EINVAL if device.chosen() != "zstd" else True
    assert device.write("recomp_algorithm", "algo=zstd priority=1") == 0
    assert device.write("recomp_algorithm", "algo=zstd priority=4") == errno.EINVAL
    assert device.write("recomp_algorithm", "algo=nonsense priority=2") == errno.EINVAL
    assert device.read("recomp_algorithm").startswith("#1: ")
    assert "[zstd]" in device.read("recomp_algorithm")
    assert device.write("algorithm_params", "priority=1 level=9") == 0
    assert device.write("algorithm_params", "priority=1 dict=/nowhere") == errno.ENOENT
    assert device.write("disksize", 8 * MIB) == 0
    assert device.write("recomp_algorithm", "algo=lz4 priority=2") == errno.EBUSY
    assert device.write("algorithm_params", "priority=1 level=3") == errno.EBUSY


@NEW
def test_a_level_out_of_range_is_told_by_the_disksize_which_forgets_all(device: Device) -> None:
    own = device.chosen()
    other = "deflate"
    assert device.write("comp_algorithm", other) == 0
    assert device.write("recomp_algorithm", "algo=lz4 priority=1") == 0
    assert device.write("algorithm_params", f"algo={other} level=99") == 0
    assert device.write("disksize", 8 * MIB) != 0
    assert device.read("disksize") == "0"
    assert device.chosen() == own
    assert device.read("recomp_algorithm") == ""
    assert device.write("disksize", 8 * MIB) == 0


@pytest.mark.needs("zram-recompression")
def test_reset_brings_the_kernels_own_algorithm_back(device: Device) -> None:
    own = device.chosen()
    assert device.write("comp_algorithm", "lz4hc") == 0
    assert device.write("disksize", 8 * MIB) == 0
    assert device.reset() == 0
    assert device.chosen() == own


def test_memd_takes_an_algorithm_that_can_not_be_had(device: Device, tmp_path: Path) -> None:
    """The whole way on this kernel: a level out of range, a secondary that is not offered, a batch; on old kernels all of it is missing."""
    text = "[Zram]\nEnabled=yes\n[Zram extra]\nSize=16M\nAlgorithms=deflate(level=99) lz4\nRecompress=zstd(level=9) nonsense\n"
    text += "MemLimit=8M\nCompressedWriteback=yes\nWritebackBatch=16\nPriority=-1\n"
    (tmp_path / "memd.conf").write_text(text)
    done = subprocess.run(["memd", "--setup-swap", "--config", tmp_path / "memd.conf"], capture_output=True, text=True)
    try:
        assert done.returncode == 0, done.stderr
        assert "zram0 is swap already" in done.stderr
        assert f"{device.name} is swap (16M, " in done.stderr
        assert "does not offer nonsense" in done.stderr
        assert device.read("disksize") == str(16 * MIB)
        assert device.read("mm_stat").split()[3] == str(8 * MIB)
        again = subprocess.run(
            ["memd", "--setup-swap", "--config", tmp_path / "memd.conf"], capture_output=True, text=True
        )
        assert f"{device.name} is swap already" in again.stderr
        assert Path("/proc/swaps").read_text().count("/dev/zram") == 2
    finally:
        subprocess.run(["swapoff", f"/dev/{device.name}"])
