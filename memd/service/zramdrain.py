"""Swap off, page by page: a zram device is drained by swapoff in a child, and given back; or everything is as before.

Nothing is reset while it is in use. A cancelled drain is told so by a signal to the child; the device is swap then as before.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from memd.errors import Failed, MemdError, NoMemory
from memd.kernel import swaps, zram, zramtune
from memd.kernel.root import Root
from memd.kernel.swapoffchild import SwapoffChild
from memd.policy import zramsections
from memd.service.zramclaim import reason

STEP = 0.1
PATIENCE = 10.0  # for udev and blkid to let go of a device that is off
PROGRESS = 0.02


class Cancelled(MemdError):
    """Asked to stop, and everything is as before."""


class Drain:
    """`notes`: what is worth telling of what was done; `make`: how a swapoff is started, for tests."""

    def __init__(
        self, root: Root, say: Callable[..., None], make: Callable[[Root, str], SwapoffChild] = SwapoffChild
    ) -> None:
        self._root, self._say, self._make = root, say, make
        self.cancelled = False
        self.notes: list[str] = []
        self._child: SwapoffChild | None = None

    def cancel(self) -> None:
        """From a signal handler too."""
        self.cancelled = True
        if self._child:
            self._child.stop()

    def run(self, old: str, new: str | None) -> None:
        """`old` off and given back; where that fails, `new` off again."""
        self._say("progress", PROGRESS)
        backing = zramtune.backing(self._root, old)
        try:
            self._swapoff(old, self._tell)
        except (MemdError, OSError):
            if new:
                self._back_out(old, new)
            raise
        self._give_back(old)
        if backing:
            self._forget(backing)

    def _back_out(self, old: str, new: str) -> None:
        self.cancelled = False
        try:
            self._swapoff(new, lambda _left: None)
        except (MemdError, OSError) as error:
            raise Failed(
                f"{old} could not be drained, and {new} not be switched off again ({reason(error)}): both are swap now;"
                " `systemctl reload memd` finishes it when there is memory"
            ) from error
        self._give_back(new)

    def _swapoff(self, name: str, progress: Callable[[float], None]) -> None:
        used = self._used(name)
        if used is None:
            return  # somebody else has switched it off
        self._child = child = self._make(self._root, zram.node(self._root, name))
        try:
            if self.cancelled:
                child.stop()
            while (code := child.poll()) is None:
                progress(1 - (self._used(name) or 0) / max(used, 1))
                time.sleep(STEP)
        finally:
            self._child = None
        if code and self._used(name) is not None:
            self._why(code, name)

    def _why(self, code: int, name: str) -> None:
        if self.cancelled:
            raise Cancelled(f"as before: {name} is swap")
        if code == errno.EINTR:
            raise NoMemory(
                f"{name} was not drained: its swapoff was killed, by the OOM killer or somebody else; as before"
            )
        if code == errno.ENOMEM:
            raise NoMemory(
                f"{name} was not drained: what is swapped out there does not fit into RAM and other swap; as before"
            )
        raise Failed(f"swapoff of {name}: {os.strerror(code)}; as before")

    def _tell(self, share: float) -> None:
        self._say("progress", f"{PROGRESS + (1 - 2 * PROGRESS) * min(max(share, 0), 1):.3f}")

    def _used(self, name: str) -> int | None:
        """Bytes swapped out there; None if it is no swap."""
        for swap in swaps.read(self._root) or ():
            if zramsections.zram_name(swap) == name:
                return swap.used
        return None

    def _give_back(self, name: str) -> None:
        """A device that is no swap any more. Somebody may look at it still: tried until the deadline, and told if it stays."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                zram.reset(self._root, name)
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > end:
                    self.notes.append(f"{name} is off, and could not be reset: {reason(error)}")
                    return
            time.sleep(STEP)

    def _forget(self, backing: str) -> None:
        """The mapping that the old device wrote through."""
        from memd.kernel import mapping

        name = (self._root.read(f"sys/class/block/{os.path.basename(backing)}/dm/name") or "").strip()
        if name.startswith("memd-"):
            try:
                mapping.close(self._root, name)
            except (MemdError, OSError) as error:
                self.notes.append(f"{name} could not be closed: {reason(error)}")
