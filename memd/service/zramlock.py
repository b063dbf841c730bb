"""One memd at a time: between signature and swapon a device looks like one that was left over.

The lock is on `hot_remove`, or `hot_add` for a whole live change, which only root can open: on a directory of sysfs any user could hold
it. It ends with its holder. Opening hot_add makes no device; only reading it does.
"""

from __future__ import annotations

import fcntl
import os

from memd.kernel import zram
from memd.kernel.root import Root


class Lock:
    """Owns the fd that holds it."""

    def __init__(self, root: Root, file: str = "hot_remove") -> None:
        self._path = root.path(f"{zram.CONTROL}/{file}")
        self._fd: int | None = None

    def take(self) -> bool:
        """True if it was just taken: the machine may have changed. OSError EAGAIN while another memd has it."""
        if self._fd is not None or not os.path.exists(self._path):
            return False
        fd = os.open(self._path, (os.O_RDONLY if self._path.endswith("add") else os.O_WRONLY) | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
