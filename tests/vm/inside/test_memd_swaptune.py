"""What swap lives by, on a real kernel and out of memd's sandbox: set while zram is swap, put back when it goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from people import eventually, output

KEYS = {"swappiness": 180, "page-cluster": 0, "watermark_scale_factor": 125, "watermark_boost_factor": 0}
KERNELS = {"swappiness": 60, "page-cluster": 3, "watermark_scale_factor": 10, "watermark_boost_factor": 15000}
SYSCTL = Path("/run/sysctl.d/99-memd-test.conf")


def values() -> dict[str, int]:
    return {key: int(Path(f"/proc/sys/vm/{key}").read_text()) for key in KEYS}


@pytest.fixture
def swap_back() -> Iterator[None]:
    yield
    if len(Path("/proc/swaps").read_text().splitlines()) == 1:
        output("swapon", "--priority", 100, "--discard=pages", "/dev/zram0")


@pytest.mark.needs("emulated")
def test_memd_has_set_them() -> None:
    assert values() == KEYS


@pytest.mark.needs("emulated")
def test_they_follow_zram(swap_back: None) -> None:
    output("swapoff", "/dev/zram0")
    assert eventually(lambda: values() == KERNELS), values()
    output("swapon", "--priority", 100, "--discard=pages", "/dev/zram0")
    assert eventually(lambda: values() == KEYS), values()


@pytest.mark.needs("emulated")
def test_where_sysctl_d_speaks_memd_is_silent(swap_back: None) -> None:
    output("swapoff", "/dev/zram0")
    assert eventually(lambda: values() == KERNELS)
    SYSCTL.parent.mkdir(exist_ok=True)
    SYSCTL.write_text("vm.swappiness = 60\n")
    try:
        output("swapon", "--priority", 100, "--discard=pages", "/dev/zram0")
        assert eventually(lambda: values() == {**KEYS, "swappiness": 60}), values()
    finally:
        SYSCTL.unlink()
    output("systemctl", "reload", "memd")
    assert eventually(lambda: values() == KEYS), values()
