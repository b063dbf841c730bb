"""A program that does for memd what only it knows how to do: modprobe, blkid, cryptsetup by systemd-run. posix_spawn(3), no shell.

On the early path: subprocess costs more to import than most of these take to run. Facts that bite: what a program says about its failure
stands on stderr only; a pipe can fill up or stay open in a grandchild, a memfd can't.
"""

from __future__ import annotations

import os
import time

from memd.errors import NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
ENVIRONMENT = {"PATH": ":".join(FOLDERS), "LC_ALL": "C"}
STEP = 0.002
MOST = 64 << 10


def find(name: str) -> str:
    """The program's path. NotSupported where this machine doesn't have it."""
    for folder in FOLDERS:
        if os.access(f"{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    raise NotSupported(f"there is no {name} on this machine")


def run(words: Sequence[str], deadline: float) -> tuple[int, str]:
    """Exit status, and what was said on stdout and stderr, 64K of it at most. A program that hangs is killed and gives 128 + SIGKILL."""
    said = os.memfd_create("said", os.MFD_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]  # type: ignore[list-item]
        pid = os.posix_spawn(words[0], list(words), ENVIRONMENT, file_actions=actions)
        status = _wait(pid, deadline)
        return status, os.pread(said, MOST, 0).decode("utf-8", "replace")
    finally:
        os.close(said)


def one_line(said: str) -> str:
    """What a program said, for the inside of a sentence."""
    return said[:400].strip().replace("\n", "; ")


def _wait(pid: int, deadline: float) -> int:
    end = time.monotonic() + deadline
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if time.monotonic() > end:
            os.kill(pid, 9)
            end = float("inf")
        time.sleep(STEP)
