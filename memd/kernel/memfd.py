"""Memory files: memfd_create(2) (3.17), sealed so that they can neither shrink nor grow.

Facts that bite: pages come at the first touch, so they are allocated here, or a grant would be a promise that nobody checked. Nothing
stops fallocate before the OOM killer does (seen): whoever calls this has looked at MemAvailable. From 6.3 the kernel warns once where
neither MFD_EXEC nor MFD_NOEXEC_SEAL is given; before, the flag is EINVAL.
"""

from __future__ import annotations

import errno
import fcntl
import os

NOEXEC_SEAL = 0x8
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def create(name: str, size: int) -> int:
    """A zeroed memfd of `size` bytes with its pages allocated; the caller owns the fd. OSError ENOSPC or ENOMEM: no memory."""
    fd = _create(name)
    try:
        os.posix_fallocate(fd, 0, size)  # and so long it becomes
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def create_growing(name: str) -> int:
    """An empty memfd that can grow and never shrink; the caller owns the fd."""
    fd = _create(name)
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _create(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)
