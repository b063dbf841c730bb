"""memd's own program as a process of its own, with privileges that the daemon does not have: a transient unit of systemd's where that is
pid 1, else a child. systemd-run(1), systemctl(1).

Facts that bite: `systemd-run --pipe --wait` ends with the unit's exit status, and ending it does not end the unit, so a signal goes there
by `systemctl kill`; a unit goes on when the daemon that asked for it ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence

from memd.kernel import program
from memd.kernel.mapping import SYSTEMD
from memd.kernel.root import Root

MOST_LINE = 8192
KILL_DEADLINE = 10.0
PROPERTIES = (
    "--property=CapabilityBoundingSet=CAP_SYS_ADMIN",
    "--property=NoNewPrivileges=yes",
    "--property=TimeoutStopSec=infinity",  # what is backed out of must not be cut short
    "--property=KillMode=mixed",
    "--property=UMask=0022",
)


class Helper:
    """One run of `memd WORDS`. `unit`: its name where systemd runs it. The process is ours to reap until `run` is over; where that is
    cancelled it goes on by itself."""

    def __init__(self, root: Root, unit: str, words: Sequence[str]) -> None:
        self._unit = f"{unit}.service" if root.is_machine and root.exists(SYSTEMD) else None
        self._words = [*_memd(), *words]
        self._pid: int | None = None
        self._stopped = False

    async def run(self, told: Callable[[str], None]) -> int:
        """Each line of its stdout goes to `told`. The exit status; 128 + N for signal N."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = self._spawn(writing)
        finally:
            os.close(writing)
        try:
            if self._stopped:
                self.stop()
            await _lines(reading, told)
        finally:
            os.close(reading)
        _, status = await asyncio.to_thread(os.waitpid, self._pid, 0)
        self._pid = None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _spawn(self, stdout: int) -> int:
        words = [*self._transient(), *self._words]
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, stdout, 1)]
        return os.posix_spawn(words[0], words, os.environ, file_actions=actions)

    def stop(self) -> None:
        """SIGTERM: it backs out."""
        self._stopped = True
        if self._pid is None:
            return
        if self._unit:
            words = [program.find("systemctl"), "kill", "--kill-whom=main", "--signal=TERM", self._unit]
            asyncio.get_running_loop().run_in_executor(None, program.run, words, KILL_DEADLINE)
        else:
            os.kill(self._pid, signal.SIGTERM)

    def _transient(self) -> list[str]:
        if not self._unit:
            return []
        return [
            program.find("systemd-run"),
            "--quiet",
            "--collect",
            "--wait",
            "--pipe",
            f"--unit={self._unit}",
            *PROPERTIES,
            "--",
        ]


async def _lines(fd: int, told: Callable[[str], None]) -> None:
    """Until its end; what is longer than MOST_LINE is cut."""
    loop = asyncio.get_running_loop()
    end = loop.create_future()
    rest = b""

    def readable() -> None:
        nonlocal rest
        try:
            chunk = os.read(fd, 65536)
        except BlockingIOError:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            told(line[:MOST_LINE].decode("utf-8", "replace"))
        rest = rest[:MOST_LINE]
        if not chunk and not end.done():
            end.set_result(None)

    os.set_blocking(fd, False)
    loop.add_reader(fd, readable)
    try:
        await end
    finally:
        loop.remove_reader(fd)


def _memd() -> list[str]:
    """This very program."""
    started = os.path.abspath(sys.argv[0])
    if os.access(started, os.X_OK) and os.path.basename(started) == "memd":
        return [started]
    return [sys.executable, "-m", "memd"]
