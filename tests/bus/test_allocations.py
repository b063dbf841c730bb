"""Many buffers to several clients at once: every client gets its own, and no fd is left on either side."""

from __future__ import annotations

import subprocess
import sys

from tests.bus.daemon import REPOSITORY, Daemon, call

COUNT = 20_000
CLIENTS = {"one": 1, "two": 1, "three": 1, "four": 16}  # buffers in one call


def test_twenty_thousand(steady: Daemon) -> None:
    with steady.client() as client:
        call(client, "Allocate", "sta{sv}", "simulated", 4096, {}).close()
        before = steady.fds()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.bus.borrower", steady.address, name, str(COUNT // len(CLIENTS)), str(many)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
            )
            for name, many in CLIENTS.items()
        ]  # fmt: skip
        told = [process.communicate(timeout=300) for process in processes]

        assert [process.returncode for process in processes] == [0] * len(CLIENTS), told
        assert sum(int(out) for out, _ in told) >= COUNT
        assert steady.settles_at(before)
        assert call(client, "ListBuffers").body[0] == []
