"""When a zram device is close to its MemLimit=: at the limit every page more fails to be swapped out. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from memd.early import ZramStat
from memd.units import format_size

NEAR = 0.9
FAR = 0.8  # told once, until it has been below this


def close(stats: Iterable[ZramStat], told: frozenset[str]) -> tuple[tuple[ZramStat, ...], frozenset[str]]:
    """(those to tell of now; those that count as told from now on), `told` being those until now."""
    limited = [stat for stat in stats if stat.mem_limit]
    near = [stat for stat in limited if stat.mem_used >= stat.mem_limit * NEAR]
    still = {stat.name for stat in limited if stat.name in told and stat.mem_used >= stat.mem_limit * FAR}
    return tuple(stat for stat in near if stat.name not in told), frozenset(still | {stat.name for stat in near})


def words(stat: ZramStat) -> str:
    share = stat.mem_used / stat.mem_limit
    return f"{stat.name} takes {format_size(stat.mem_used)}, {share:.0%} of its MemLimit= of {format_size(stat.mem_limit)}"
