"""How many buffers a pool should have now. Pure."""

from __future__ import annotations

from memd.model import Level


def target(count: int, ready: int, level: Level) -> int:
    """`count`: of the configuration; `ready`: there now. Nothing is made while memory is short: at low a pool stays as it is, at medium
    half of it goes, at critical all."""
    most = {Level.NONE: count, Level.LOW: ready, Level.MEDIUM: count // 2, Level.CRITICAL: 0}[level]
    return most if level is Level.NONE else min(most, ready)


def low(count: int, ready: int) -> bool:
    """Whether it is time to fill up: once for many that were taken, not for each."""
    return ready <= count // 2
