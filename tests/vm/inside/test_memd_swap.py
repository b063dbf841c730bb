"""Compressed swap after boot: on, of the right size, seen by everyone, and nobody's to lose."""

from pathlib import Path

import people
import pytest
from dmabuf import meminfo
from people import memctl, output

GIB = 1 << 30


def swap() -> list[str]:
    """The one line of /proc/swaps: path, kind, KiB, KiB used, priority."""
    lines = Path("/proc/swaps").read_text().splitlines()[1:]
    assert len(lines) == 1, lines
    return lines[0].split()


def test_swap_has_the_default_curves_size() -> None:
    ram = meminfo("MemTotal") - meminfo("CmaTotal")
    wanted = min(min(ram, 2 * GIB) + max(ram - 2 * GIB, 0) / 2, 8 * GIB)
    size = int(Path("/sys/block/zram0/disksize").read_text())
    assert abs(size - wanted) <= 4096
    assert int(swap()[2]) * 1024 == size - 4096  # the first page is the signature


def test_everyone_reads_the_devices_path_in_proc_swaps(users: None) -> None:
    seen = people.run(people.STRANGER, "cat", "/proc/swaps").stdout.splitlines()[1]
    assert seen.split()[0] == "/dev/zram0"
    assert seen.split()[4] == "100"


def test_memd_says_that_it_found_or_made_it() -> None:
    zram = memctl("status")["zram"]
    assert [device["device"] for device in zram] == ["/dev/zram0"]
    assert f"[{zram[0]['algorithm']}]" in Path("/sys/block/zram0/comp_algorithm").read_text()


@pytest.mark.parametrize("unit", ["memd", "memd-swap"])
def test_a_restart_leaves_swap_as_it_is(unit: str) -> None:
    before = swap()[:3]
    output("systemctl", "restart", unit)
    assert swap()[:3] == before


def test_a_killed_memd_leaves_swap_as_it_is() -> None:
    before = swap()[:3]
    people.kill_memd()
    assert swap()[:3] == before


def swapped_out() -> int:
    """Bytes written to swap since boot."""
    fields = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(fields["pswpout"]) * 4096


def test_swap_takes_what_does_not_fit() -> None:
    before = swapped_out()
    stress = ["systemd-run", "--quiet", "--wait", "-p", "MemoryMax=32M", "-p", "RuntimeMaxSec=40"]
    output(*stress, "python3", Path(__file__).with_name("thrash.py"), 64 << 20, 0)
    assert swapped_out() - before > 16 << 20
    people.calm()
