"""Kernel modules. modprobe(8) does the work: it knows dependencies, compression and the administrator's modprobe.d.

Facts that bite: a kernel without CONFIG_MODULES has no /proc/sys/kernel/modprobe, one told not to load has an empty one; what
modprobe says about a failure stands on its stderr only, and goes to the reader of the journal.
"""

from __future__ import annotations

import os
import time

from memd.errors import Failed, NotSupported
from memd.kernel.root import Root

MODPROBE = "proc/sys/kernel/modprobe"
USUAL = ("/sbin/modprobe", "/usr/sbin/modprobe")
DEADLINE = 10.0
STEP = 0.002


def load(root: Root, name: str, deadline: float = DEADLINE) -> None:
    """NotSupported where nothing can be loaded, Failed with modprobe's words. Nothing is run for a machine in a directory."""
    program = _program(root)
    if not root.is_machine:
        raise NotSupported(f"{root.directory} is a machine in a directory: module {name} is not loaded for it")
    status, words = _run(program, name, deadline)
    if status != 0:
        raise Failed(f"modprobe {name}: {words or f'status {status}'}")


def is_installed(root: Root, name: str, folder: str) -> bool:
    """Whether this kernel's modules hold NAME.ko, compressed or not, in `folder` of their tree (kernel/drivers/block/zram)."""
    release = (root.read("proc/sys/kernel/osrelease") or "").strip()
    files = root.list(f"lib/modules/{release}/{folder}") or ()
    return any(file.startswith(f"{name}.ko") for file in files)


def _program(root: Root) -> str:
    told = root.read(MODPROBE)
    if told is None:
        raise NotSupported("this kernel loads no modules")
    if not root.is_machine:
        return told.strip()
    for path in (told.strip(), *USUAL):
        if path and os.access(path, os.X_OK):
            return path
    raise NotSupported("there is no modprobe on this machine")


def _run(program: str, name: str, deadline: float) -> tuple[int, str]:
    """Exit status and what was said; a memfd takes the words, so that no pipe can fill up or stay open."""
    words = os.memfd_create("modprobe", os.MFD_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, words, 1), (os.POSIX_SPAWN_DUP2, words, 2)]  # type: ignore[list-item]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        pid = os.posix_spawn(program, [program, name], environment, file_actions=actions)
        status = _wait(pid, deadline)
        return status, os.pread(words, 400, 0).decode("utf-8", "replace").strip().replace("\n", "; ")
    finally:
        os.close(words)


def _wait(pid: int, deadline: float) -> int:
    """The exit status; a modprobe that hangs is killed and gives 128 + SIGKILL."""
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
