"""A request that is more than the machine has dies alone: the OOM killer takes its child, and nobody else."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dmabuf import meminfo
from people import output

from memd.kernel.requester import Killed, Requester

pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.machines("x86_64-6.1"), pytest.mark.timeout(180)]


@pytest.fixture
def requester() -> Iterator[Requester]:
    """Asks as memd does; no rule and no floor stand before it."""
    one = Requester()
    yield one
    one.close()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process with more memory than any child of the helper's."""
    program = "import time; memory = bytearray(32 << 20); print('ready', flush=True); time.sleep(600)"
    with subprocess.Popen(["python3", "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.send_signal(signal.SIGKILL)


def killed() -> int:
    """How many the OOM killer took since boot."""
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def test_the_child_dies_and_the_machine_lives(requester: Requester, bystander: subprocess.Popen[bytes]) -> None:
    daemon, before = output("systemctl", "show", "-P", "MainPID", "memd"), killed()

    with pytest.raises(Killed):
        requester.allocate("system", "/dev/dma_heap/system", [meminfo("MemTotal") * 9 // 10])

    assert killed() == before + 1
    assert bystander.poll() is None
    assert output("systemctl", "show", "-P", "MainPID", "memd") == daemon
    [fd] = requester.allocate("system", "/dev/dma_heap/system", [1 << 20])
    os.close(fd)
