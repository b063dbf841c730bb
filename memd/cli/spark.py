"""Sparklines: the last values of something in one line of text."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*%#"


def spark(values: Sequence[float | None], width: int, *, unicode: bool, top: float | None = None) -> str:
    """The last `width` values, the newest on the right; None is a gap. `top`: what a full block stands for, by default the largest."""
    steps = BLOCKS if unicode else ASCII
    shown = list(values)[-width:] if width else []
    known = [value for value in shown if value is not None]
    full = top or max(known, default=0.0)
    cells = [" " if value is None else steps[_step(value, full, len(steps))] for value in shown]
    return "".join(cells).rjust(width)


def _step(value: float, full: float, steps: int) -> int:
    if full <= 0 or value <= 0:
        return 0
    return min(int(value / full * steps), steps - 1)
