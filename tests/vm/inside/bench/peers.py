"""Debian's packages that do parts of memd's work: installed, masked at the boot, and started by who measures beside them."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SERVICES = ("nohang", "systemd-oomd", "low-memory-monitor", "earlyoom")
ZRAM_GENERATOR = "/usr/lib/systemd/system-generators/zram-generator"


@contextlib.contextmanager
def running(*names: str) -> Iterator[dict[str, int]]:
    """Start these services; name -> main PID, with memd's too. What they were started for is over at the end."""
    units = [*names, *(f"{name}.socket" for name in names if name == "systemd-oomd")]
    subprocess.run(["systemctl", "unmask", "--quiet", *units], check=True)
    try:
        subprocess.run(["systemctl", "start", *names], check=True)
        yield {name: main_pid(name) for name in ("memd", *names)}
    finally:
        subprocess.run(["systemctl", "stop", "--quiet", *units], check=True)
        subprocess.run(["systemctl", "mask", "--quiet", *units], check=True)


def main_pid(unit: str) -> int:
    return int(
        subprocess.run(["systemctl", "show", "-P", "MainPID", unit], capture_output=True, text=True, check=True).stdout
    )


def pss(pid: int) -> float:
    """MB."""
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()[0]) / 1000


def switches(pid: int) -> int:
    """Voluntary context switches of all threads so far: each is a wake-up."""
    texts = [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in texts)


def settle(seconds: float = 5) -> None:
    """What starting things woke up is over."""
    time.sleep(seconds)
