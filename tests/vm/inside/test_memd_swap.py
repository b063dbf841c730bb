"""Compressed swap after boot: on, of the right size, seen by everyone, and nobody's to lose."""

import subprocess
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


@pytest.mark.parametrize("how", [["restart", "memd"], ["kill", "-s", "KILL", "memd"], ["restart", "memd-swap"]])
def test_no_end_of_memd_takes_swap_away(how: list[str]) -> None:
    before = swap()[:3]
    output("systemctl", *how)
    output(
        "busctl", "--system", "--timeout=20", "call", "org.memd1", "/org/memd1", "org.freedesktop.DBus.Peer", "Ping"
    )
    assert swap()[:3] == before


def test_swap_is_used_and_gives_back_what_it_took() -> None:
    stress = ["systemd-run", "--quiet", "--wait", "-p", "MemoryMax=32M", "-p", "RuntimeMaxSec=40"]
    program = Path(__file__).with_name("thrash.py")
    done = subprocess.run([*stress, "python3", program, str(64 << 20), "0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(Path("/sys/block/zram0/mm_stat").read_text().split()[4]) > 8 << 20  # mem_used_max
