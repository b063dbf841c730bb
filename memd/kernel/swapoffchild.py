"""swapoff(2) in a process of its own. Source: mm/swapfile.c, try_to_unuse().

Facts that bite: swapoff makes its caller the OOM killer's first choice, whatever its oom_score_adj; it goes on for as long as pages are
read back, and a signal ends it with EINTR, after which the device is swap as before; `Used` in /proc/swaps falls meanwhile.
"""

from __future__ import annotations

import errno
import os
import signal

from memd.kernel import swapon
from memd.kernel.root import Root

BEYOND = 254  # an errno that does not fit


class SwapoffChild:
    """Owns the child process from its making until `poll` has told how it ended."""

    def __init__(self, root: Root, path: str) -> None:
        self.path = path
        self._ended: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            os._exit(_child(root, path))

    def poll(self) -> int | None:
        """None while it runs; 0 for success, else an errno; EINTR where it was killed, by us or by the OOM killer."""
        done, status = os.waitpid(self._pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            self._ended = errno.EINTR if code < 0 else code
        return self._ended

    def stop(self) -> None:
        """Asks the kernel to leave off; `poll` tells when it has."""
        if self._ended is None:
            os.kill(self._pid, signal.SIGTERM)


def _child(root: Root, path: str) -> int:
    """The exit status. Nothing of the parent's is run on the way out."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        swapon.swapoff(root, path)
    except OSError as error:
        return error.errno if error.errno and error.errno < BEYOND else BEYOND
    except BaseException:
        return BEYOND
    return 0
