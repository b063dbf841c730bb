"""From a stall that crosses the threshold to the signal at a client: memd, and beside it, on the same stalls, low-memory-monitor and
systemd-oomd as their packages set them up (systemd-oomd acts on 60 % over 30 s, and tells only that it has killed)."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

sys.path.append("/opt/memd-tests")
from tests.bench import pressure

STALLS = 20


@pytest.fixture
def unmasked() -> Iterator[None]:
    """pressure.py starts and stops them itself."""
    units = [*pressure.OTHERS, "systemd-oomd.socket"]
    subprocess.run(["systemctl", "unmask", "--quiet", *units], check=True)
    yield
    subprocess.run(["systemctl", "stop", "--quiet", *units], check=True)
    subprocess.run(["systemctl", "mask", "--quiet", *units], check=True)


def bench_stall_to_signal(row: Callable[..., None], unmasked: None) -> None:
    taken = pressure.measure(STALLS)
    for name, times in taken.items():
        row(f"stalls of {STALLS} told by {name}", "", [len(times)])
        if times:
            row(f"stall to signal, {name}", "ms", [time * 1000 for time in times])
    assert pressure.kept(taken, STALLS), "one window and 50 ms"
