"""After the power went: what this boot finds. And then it goes again, at the step that the kernel command line names (tests/vm/cuts.py)."""

import subprocess
import sys
from pathlib import Path

import pytest
from people import eventually, output, status, swap

from memd.kernel.root import Root
from memd.service import wear
from memd.service.wear import WearBook

MIB = 1 << 20
DAY = 12 * MIB  # test_memd_zramcare's NOW
HERE = Path(__file__).parent
pytestmark = [pytest.mark.needs("power-cut"), pytest.mark.timeout(540)]


def told(name: str) -> str:
    words = [word.partition("=") for word in Path("/proc/cmdline").read_text().split()]
    return next(value for key, _, value in words if key == f"memd.{name}")


def test_swap_is_there_as_it_is_configured() -> None:
    path = swap()[0]
    assert Path("/sys/block", Path(path).name, "disksize").read_text().strip() == str(160 * MIB)
    assert "memd-vdb" in output("dmsetup", "info", "-c", "--noheadings", "-o", "name")
    assert status()["degraded"] == []
    assert not list(Path("/run/memd/memd.conf.d").glob("zz-*"))


def test_the_books_are_whole_and_know_of_every_byte() -> None:
    """What a boot before wrote to the disk is in the book, be it settled or promised."""
    written = int(told("written"))
    kept = Path("/var/lib/memd/wear.json")
    book = WearBook(Root())
    left = book.left(DAY, used_before=written > 0)
    assert book.trouble == ""
    assert left <= DAY - min(written, DAY)
    if kept.exists():
        assert sum(entry.size for entry in wear.parse(kept.read_text()).spent) <= DAY


@pytest.fixture
def stored() -> None:
    """48M that do not compress to nothing, most of them swapped out, and looked at all along."""
    words = ["systemd-run", "--quiet", "--unit=memd-test-stored", "-p", "MemoryMax=24M", "--setenv=PYTHONUNBUFFERED=1"]
    output(*words, "python3", HERE / "pattern.py", 48 * MIB)
    assert eventually(lambda: "ready" in output("journalctl", "-b", "-u", "memd-test-stored", "-o", "cat"), 400)


def test_the_power_goes(stored: None) -> None:
    """Nobody comes back from here."""
    name, step = Path(swap()[0]).name, told("cut")
    words = [sys.executable, HERE / "care_cut.py", name]
    if not step.startswith("care"):
        words = ["memctl", "zram", "set", name, "Size=192M", "--force"]
    with open("/dev/console", "wb") as console:  # where the step is told
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=console)
    pytest.fail(f"it did not stop at {step}: {done}")
