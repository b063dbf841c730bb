"""Which swap is filled first. On the early path: nothing heavy is imported."""

from __future__ import annotations

from memd.early import Swap
from memd.policy.zramsections import zram_name

HIGHEST = 32767


def first(wanted: int, swaps: tuple[Swap, ...]) -> tuple[int, str | None]:
    """The priority that a new zram swap needs to be used before what is on already, and a note where that is not `wanted`.

    -1, which lets the kernel pick one below all others, is somebody's own wish."""
    above = max([-1, *(swap.priority for swap in swaps if not zram_name(swap))])
    if wanted < 0 or wanted > above:
        return wanted, None
    if above >= HIGHEST:
        return HIGHEST, f"other swap has the highest priority there is ({above}); zram is used in turns with it"
    return above + 1, f"other swap has priority {above}; zram takes {above + 1}, so that it is used first"
