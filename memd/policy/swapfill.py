"""How full swap really is, where part of it is zram: a page in zram takes RAM, so the device's size says little.

A page swapped to zram costs 1/ratio of itself, ratio being today's original data per RAM that zram holds for it. The device can
take only what free RAM can hold at that ratio, what its mem_limit leaves, and what its size leaves. Ordinary swap costs nothing
and can take what its size leaves.

The ratio of a device that stores next to nothing tells nothing (the allocator's own pages outweigh the data; pages of one repeated
value need none at all): below MEANINGFUL stored bytes, the 2:1 that the kernel's zram document expects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from memd.early import MemInfo, Swap, ZramStat
from memd.model import SwapFill

DEFAULT_RATIO = 2.0
MEANINGFUL = 1 << 20


def fill(memory: MemInfo, swaps: Iterable[Swap], zrams: Iterable[ZramStat]) -> SwapFill:
    """Swaps are matched to devices by base name (`/zram0` is a swap that was switched on in a private /dev).

    A zram swap without its ZramStat counts as an estimate at DEFAULT_RATIO.
    """
    stats = {stat.name: stat for stat in zrams}
    size = used = cost = free = 0
    ram = float(memory.available)
    # By priority, as the kernel fills them: RAM that the first device takes is not there for the second.
    for swap in sorted(swaps, key=lambda swap: -swap.priority):
        size, used = size + swap.size, used + swap.used
        left = max(swap.size - swap.used, 0)
        if is_zram(swap):
            cost += _cost(swap, stats)
            left = min(left, room(_stat(swap, stats), ram))
            ram -= left / ratio(_stat(swap, stats))
        free += left
    return SwapFill(size, used, cost, free)


def is_zram(swap: Swap) -> bool:
    name = _name(swap)
    return name.startswith("zram") and name[4:].isdigit()


def ratio(stat: ZramStat | None) -> float:
    """Bytes of pages per byte of RAM, above 0; DEFAULT_RATIO where the device stores too little to tell."""
    if stat is None or stat.original - stat.backed < MEANINGFUL or not stat.mem_used:
        return DEFAULT_RATIO
    return (stat.original - stat.backed) / stat.mem_used


def _name(swap: Swap) -> str:
    return swap.path.rpartition("/")[2]


def _stat(swap: Swap, stats: Mapping[str, ZramStat]) -> ZramStat | None:
    return stats.get(_name(swap))


def _cost(swap: Swap, stats: Mapping[str, ZramStat]) -> int:
    stat = _stat(swap, stats)
    return stat.mem_used if stat else int(swap.used / DEFAULT_RATIO)


def room(stat: ZramStat | None, ram: float) -> int:
    """Bytes of pages that `ram` bytes of RAM, and the device's own limit (0: none), can still hold."""
    if stat and stat.mem_limit:
        ram = min(ram, max(stat.mem_limit - stat.mem_used, 0))
    return int(max(ram, 0) * ratio(stat))
