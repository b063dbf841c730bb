"""A few at once, then one per interval: what anybody can provoke must not flood a journal or a bus."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_KEYS = 256


class _Allowance:
    __slots__ = ("at", "left", "silent")

    def __init__(self, left: float, at: float) -> None:
        self.left, self.at, self.silent = left, at, 0


class Allowances:
    """One allowance per key: `burst` at once, one more earned in each `interval` seconds. The keys heard of last are remembered."""

    def __init__(self, burst: int, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._interval, self._clock = burst, interval, clock
        self._keys: dict[str, _Allowance] = {}

    def take(self, key: str) -> int | None:
        """How many were silent since the last that was not; None if this one has to be silent too."""
        allowance = self._earned(key)
        if allowance.left < 1:
            allowance.silent += 1
            return None
        allowance.left -= 1
        silent, allowance.silent = allowance.silent, 0
        return silent

    def _earned(self, key: str) -> _Allowance:
        now = self._clock()
        allowance = self._keys.pop(key, None) or _Allowance(self._burst, now)
        allowance.left = min(allowance.left + (now - allowance.at) / self._interval, self._burst)
        allowance.at = now
        self._keys[key] = allowance
        if len(self._keys) > MAX_KEYS:
            del self._keys[next(iter(self._keys))]
        return allowance
