"""From exec to active swap: memd, and zram-generator with swapon; same device, size and algorithm, in turn. By hand, where only the
programs count, and as systemd runs them, where zram-generator has two units and memd has one."""

import contextlib
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers import ZRAM_GENERATOR
from people import eventually, output

ROUNDS = 9
SIZE = "256"
DEVICE = Path("/sys/block/zram0")
THEIRS = Path("/run/systemd/zram-generator.conf")  # before what the package has in /etc
OURS = Path("/run/memd/memd.conf.d/bench.conf")
UNITS = Path("/run/systemd/system")  # the generator itself is masked: it is run by hand
BY_HAND = {
    "memd": ["/usr/bin/memd", "--setup-swap"],
    "zram-generator": [
        "sh",
        "-ec",
        f"{ZRAM_GENERATOR} --setup-device zram0 && swapon -p 100 -o discard /dev/zram0",
    ],
}
# The unit that is started, and the one whose start is the beginning
BY_SYSTEMD = {
    "memd": ("memd-swap.service", "memd-swap.service"),
    "zram-generator": ("dev-zram0.swap", "systemd-zram-setup@zram0.service"),
}


@pytest.fixture
def nothing_on() -> Iterator[None]:
    OURS.parent.mkdir(parents=True, exist_ok=True)
    OURS.write_text(f"[Zram]\nSize={SIZE}M\nAlgorithms=lz4\nPriority=100\n")
    THEIRS.write_text(f"[zram0]\nzram-size = {SIZE}\ncompression-algorithm = lz4\nswap-priority = 100\n")
    output("systemctl", "stop", "memd", "memd-swap")
    undo()
    yield
    OURS.unlink()
    THEIRS.unlink()
    undo()
    output("systemctl", "daemon-reload")
    output("systemctl", "start", "memd-swap", "memd")


def undo() -> None:
    subprocess.run(["systemctl", "stop", *BY_SYSTEMD["zram-generator"], "memd-swap"], capture_output=True)
    subprocess.run(["swapoff", "/dev/zram0"], capture_output=True)
    assert eventually(empty)


def empty() -> bool:
    """Not reset twice: udev looks at what was, and the second would find it busy."""
    with contextlib.suppress(OSError):
        if (DEVICE / "disksize").read_text().strip() != "0":
            (DEVICE / "reset").write_text("1")
    return (DEVICE / "disksize").read_text().strip() == "0"


def active() -> None:
    assert "zram0" in Path("/proc/swaps").read_text()
    assert "[lz4]" in (DEVICE / "comp_algorithm").read_text()
    assert int((DEVICE / "disksize").read_text()) == int(SIZE) << 20


def by_hand(name: str) -> float:
    """Seconds until swap is on: /proc/swaps tells."""
    with open("/proc/swaps", "rb", buffering=0) as swaps:
        swaps.read()
        poll = select.poll()
        poll.register(swaps, select.POLLPRI)
        began = time.perf_counter()
        with subprocess.Popen(BY_HAND[name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            assert poll.poll(60_000)
            took = time.perf_counter() - began
        assert process.returncode == 0
    return took


def by_systemd(name: str) -> float:
    """Seconds from the start of the first unit until the last one is active, as systemd saw them."""
    last, first = BY_SYSTEMD[name]
    output("systemctl", "start", last)
    return (moment(last, "ActiveEnter") - moment(first, "InactiveExit")) / 1e6


def moment(unit: str, what: str) -> int:
    return int(output("systemctl", "show", "-P", f"{what}TimestampMonotonic", unit))


def in_turn(measure: Callable[[str], float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in BY_HAND}
    for number in range(ROUNDS + 1):
        for name in BY_HAND:
            took = measure(name)
            active()
            undo()
            found[name] += [took] if number else []  # the first fills caches
    return found


def bench_exec_to_swap(row: Callable[..., None], nothing_on: None) -> None:
    found = in_turn(by_hand)
    row("exec to active swap, by hand", "zram-generator and swapon", found["memd"], found["zram-generator"])
    row("the same of memd", "seconds", found["memd"])


def bench_units_to_swap(row: Callable[..., None], nothing_on: None) -> None:
    before = set(UNITS.iterdir())
    output(ZRAM_GENERATOR, UNITS, UNITS, UNITS)
    output("systemctl", "daemon-reload")
    try:
        found = in_turn(by_systemd)
    finally:
        undo()
        for made in set(UNITS.iterdir()) - before:
            shutil.rmtree(made) if made.is_dir() else made.unlink()
    row("unit's start to active swap", "zram-generator's two units", found["memd"], found["zram-generator"])
    row("the same of memd-swap.service", "seconds", found["memd"])
