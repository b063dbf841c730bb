"""Parsers of values that several sections of memd.conf have: counts, words, sizes and shares, times in a range."""

from __future__ import annotations

from collections.abc import Callable

from memd import units
from memd.errors import MemdError

HIGHEST_COUNT = 1_000_000


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= HIGHEST_COUNT:
        raise MemdError(f"{text!r} is no count; write a number from 1 to {HIGHEST_COUNT}")
    return int(text)


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def size_of(total: int) -> Callable[[str], int]:
    """A parser of sizes and of percentages of `total`, which is RAM."""

    def parse(text: str) -> int:
        size = int(units.parse_percent(text) * total) if text.endswith("%") else units.parse_size(text)
        if not size:
            raise MemdError(f"{text!r} is nothing; write a size like 512M or 50% of RAM")
        return size

    return parse


def seconds(least: float, most: float, hint: str) -> Callable[[str], float]:
    """A parser of times within bounds; `hint` says the bounds."""

    def parse(text: str) -> float:
        value = units.parse_seconds(text)
        if not least <= value <= most:
            raise MemdError(f"{text!r} is out of range; write a time {hint}")
        return value

    return parse
