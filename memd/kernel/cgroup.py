"""The cgroup of a process, asked by its pidfd. Documents: Documentation/admin-guide/cgroup-v2.rst ("Processes", 4.5), pidfd_open(2) (5.3).

Facts that bite: a pid is given anew once its process is gone, so what /proc/PID says counts only if the pidfd is still alive after it was
read. The pid stands in /proc/self/fdinfo (`Pid:`, -1 once the process is gone, 0 where this /proc does not show it). A pidfd polls
readable when the whole process has ended. Of /proc/PID/cgroup only the line `0::` speaks of the unified hierarchy; it is there, as `0::/`,
also where nobody mounted that. No cgroup's name holds a newline: the kernel refuses to make such a one.
"""

from __future__ import annotations

import errno
import os
import select

from memd.errors import BadKernelFile
from memd.kernel.root import Root

UNIFIED = "0::"


def read(root: Root, pidfd: int) -> str | None:
    """The cgroup's path, `/` for the root of all. None where this /proc does not show the process.

    ProcessLookupError if the process has ended, whatever was read. PermissionError where /proc is mounted with hidepid=1."""
    pid = _pid(root, pidfd)
    name = f"proc/{pid}/cgroup"
    text = root.read(name) if pid else None
    if not alive(pidfd):
        raise _gone(root.path(name))
    return None if text is None else parse(text, root.path(name))


def parse(text: str, path: str = "cgroup") -> str | None:
    """None without a unified hierarchy. BadKernelFile for what is no list of cgroups."""
    lines = text.splitlines()
    if not all(line.count(":") >= 2 for line in lines):
        raise BadKernelFile(path, text)
    found = next((line.removeprefix(UNIFIED) for line in lines if line.startswith(UNIFIED)), None)
    if found is not None and not found.startswith("/"):
        raise BadKernelFile(path, text)
    return found


def alive(pidfd: int) -> bool:
    """Whether the process has not ended; a zombie has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return not poll.poll(0)


def _pid(root: Root, pidfd: int) -> int:
    name = f"proc/self/fdinfo/{pidfd}"
    text = root.read(name) or ""
    word = next((line.removeprefix("Pid:").strip() for line in text.splitlines() if line.startswith("Pid:")), "")
    if word == "-1":
        raise _gone(root.path(name))
    if not (word.isascii() and word.isdigit()):
        raise BadKernelFile(root.path(name), text)
    return int(word)


def _gone(path: str) -> ProcessLookupError:
    return ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), path)
