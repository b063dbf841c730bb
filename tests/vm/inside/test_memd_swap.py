"""Compressed swap while the machine runs: nobody's to lose. (How the boot left it: test_memd_boot.py.)"""

from pathlib import Path

import people
import pytest
from people import output, swap


def test_memd_says_that_it_found_or_made_it() -> None:
    zram = people.status()["zram"]
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


@pytest.mark.long  # a submission's own: test_memd_pressure.py
def test_swap_takes_what_does_not_fit() -> None:
    before = people.swapped_out()
    stress = ["systemd-run", "--quiet", "--wait", "-p", "MemoryMax=32M", "-p", "RuntimeMaxSec=40"]
    output(*stress, "python3", Path(__file__).with_name("thrash.py"), 64 << 20, 0)
    assert people.swapped_out() - before > 16 << 20
    people.calm()
