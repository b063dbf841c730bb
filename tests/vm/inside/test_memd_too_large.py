"""A request that is more than the machine has dies alone: the OOM killer takes its child, and nobody else."""

import sys
from pathlib import Path

import pytest
from people import output

pytestmark = [pytest.mark.long, pytest.mark.needs("heap:system"), pytest.mark.machines("x86_64-6.1")]


def killed() -> int:
    """How many the OOM killer took since boot."""
    lines = Path("/proc/vmstat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@pytest.mark.timeout(600)
def test_the_child_dies_and_the_machine_lives() -> None:
    """In a unit of its own: by default systemd ends a whole unit of which the OOM killer took one."""
    daemon, before = output("systemctl", "show", "-P", "MainPID", "memd"), killed()
    program = Path(__file__).parent / "ask_too_much.py"

    said = output("systemd-run", "--quiet", "--wait", "--pipe", "-p", "OOMPolicy=continue", sys.executable, program)

    assert said.split() == ["killed", "alive", "served"]
    assert killed() == before + 1
    assert output("systemctl", "show", "-P", "MainPID", "memd") == daemon
