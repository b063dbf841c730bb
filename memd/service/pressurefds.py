"""OpenPressureFd: one end of a socket pair for a caller, on which memd says each change of level as one byte, relief included.

The byte is the level: 0 none, 1 low, 2 medium, 3 critical. memd holds the other end, so it can end it: when the caller leaves too much
unread, speaks into it, or memd stops. No kernel trigger is lent: it could not be taken back, and knows no relief.
"""

from __future__ import annotations

import socket

from memd.model import Level
from memd.service.ears import Ears
from memd.service.listener import Listener

MOST = 256  # an fd of memd's each, of the 8192 of memd.service
EACH = 8


class PressureFds(Listener):
    def __init__(self) -> None:
        self._ears = Ears(MOST, EACH, "pressure fds")

    def __len__(self) -> int:
        return len(self._ears)

    def open(self, owner: str, level: Level) -> int:
        """The caller's end, which whoever called owns. LimitsExceeded. `level`: the lowest that the caller wants to hear of; a change
        from or to a level below it is told if the other one is not."""
        self._ears.room(owner)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._ears.add(ours, owner, level)
            return theirs.detach()

    def moved(self, level: Level, previous: Level) -> None:
        highest = max(level, previous)
        self._ears.tell(level, lambda wanted: wanted <= highest, end_slow=True)

    def close(self) -> None:
        self._ears.close()
