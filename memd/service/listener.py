"""What those who act on pressure hear from the watch, at once and in this process. Each takes what concerns it; none may block."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from memd.model import Level

log = logging.getLogger(__name__)


class Listener:
    """Both calls come in the loop, in the order of what happened, `moved` first."""

    def moved(self, level: Level, previous: Level) -> None:
        """The level has changed, up or down."""

    def stalled(self, level: Level) -> None:
        """The kernel saw a stall of the level that is up, once more: as often as a trigger speaks, at most once per window."""


def tell_moved(listeners: Iterable[Listener], level: Level, previous: Level) -> None:
    """One listener's trouble is nobody else's."""
    for listener in listeners:
        try:
            listener.moved(level, previous)
        except Exception:
            log.exception("pressure level %s could not be told", level)


def tell_stalled(listeners: Iterable[Listener], level: Level) -> None:
    for listener in listeners:
        try:
            listener.stalled(level)
        except Exception:
            log.exception("a stall of level %s could not be told", level)
