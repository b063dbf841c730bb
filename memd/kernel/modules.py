"""Kernel modules. modprobe(8) does the work: it knows dependencies, compression and the administrator's modprobe.d.

Facts that bite: a kernel without CONFIG_MODULES has no /proc/sys/kernel/modprobe, one told not to load has an empty one; what
modprobe says about a failure stands on its stderr only, and goes to the reader of the journal.
"""

from __future__ import annotations

import os

from memd.errors import Failed, NotSupported
from memd.kernel import program
from memd.kernel.root import Root

MODPROBE = "proc/sys/kernel/modprobe"
USUAL = ("/sbin/modprobe", "/usr/sbin/modprobe")
DEADLINE = 10.0


def load(root: Root, name: str, deadline: float = DEADLINE) -> None:
    """NotSupported where nothing can be loaded, Failed with modprobe's words. Nothing is run for a machine in a directory."""
    modprobe = _program(root)
    if not root.is_machine:
        raise NotSupported(f"{root.directory} is a machine in a directory: module {name} is not loaded for it")
    status, said = program.run([modprobe, name], deadline)
    if status != 0:
        raise Failed(f"modprobe {name}: {program.one_line(said) or f'status {status}'}")


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
