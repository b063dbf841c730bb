"""Levels of pressure over an fd, across restarts of memd: the fd ends with the memd that gave it, and is asked for anew when there is one.

memd is not asked while nobody owns its name: a call would start one that somebody has stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from memd.client import protocol
from memd.client.errors import Unreachable
from memd.client.framing import TimedOut

if TYPE_CHECKING:
    from memd.client.blocking import Memd

LEVELS = ("none", "low", "medium", "critical")
AGAIN = 30.0  # seconds after which the bus is asked again who is there, whatever it said


def levels(memd: Memd, level: str) -> Iterator[str]:
    """See Memd.pressure_levels."""
    memd._connection.match(protocol.MATCHES[1])
    known = ""
    while True:
        _wait_for_owner(memd)
        try:
            end, now = memd.open_pressure_fd(level)
        except Unreachable:
            continue
        with end:
            if now != known:
                yield now
            known = now
            while said := end.recv(1):
                known = LEVELS[said[0]]
                yield known


def _wait_for_owner(memd: Memd) -> None:
    while True:
        try:
            memd._connection.call(*protocol.OWNER)
        except Unreachable:
            pass
        else:
            return
        try:
            memd._connection.signal(AGAIN)
        except TimedOut:
            continue
