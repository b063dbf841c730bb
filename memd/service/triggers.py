"""The kernel's PSI triggers in the loop: open them as this process may, pass on what they say."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from memd.kernel import psi
from memd.kernel.epoll import Urgent
from memd.kernel.root import Root
from memd.model import PressureSettings, Trigger
from memd.policy import pressure

NOT_PERMITTED = (errno.EINVAL, errno.EPERM, errno.EACCES)


class Triggers:
    """Owns an fd and an epoll per trigger. `heard(trigger)` per event, `lost(trigger)` once when the kernel gave a trigger up."""

    def __init__(self, heard: Callable[[Trigger], None], lost: Callable[[Trigger], None]) -> None:
        self._heard, self._lost = heard, lost
        self._open: dict[Trigger, Urgent] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, root: Root, settings: PressureSettings, name: str = psi.NAME) -> PressureSettings:
        """The settings that hold now: as asked, or over the windows that need no capability. OSError, and nothing open, if none do.
        `name`: the machine's file, or the memory.pressure of a cgroup."""
        if not root.is_machine and root.exists(name):
            raise OSError(errno.ENOSYS, "a recorded machine has no triggers", root.path(name))
        try:
            self._open_all(root, settings, name)
        except OSError as error:
            if error.errno not in NOT_PERMITTED:
                raise
            settings = pressure.unprivileged(settings)
            self._open_all(root, settings, name)
        return settings

    def _open_all(self, root: Root, settings: PressureSettings, name: str) -> None:
        try:
            for trigger in settings.triggers:
                self._open[trigger] = urgent = Urgent(psi.open_trigger(root, trigger, name))
                asyncio.get_running_loop().add_reader(urgent.fileno(), self._ready, trigger)
        except OSError:
            self.close()
            raise

    def _ready(self, trigger: Trigger) -> None:
        if trigger not in self._open:  # closed by one that was ready in the same turn
            return
        if self._open[trigger].take():
            self._heard(trigger)
        else:
            self._close(trigger)
            self._lost(trigger)

    def _close(self, trigger: Trigger) -> None:
        urgent = self._open.pop(trigger)
        asyncio.get_running_loop().remove_reader(urgent.fileno())
        urgent.close()

    def close(self) -> None:
        for trigger in tuple(self._open):
            self._close(trigger)
