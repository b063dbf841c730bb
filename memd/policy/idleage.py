"""For how long a page must have been idle before it is worked on: less when memory is short, and never counting the time asleep.

The formula is ChromeOS's: between the least and the most age, falling with e^(-5 * utilisation). The kernel counts a page's age with
suspend; a device that slept all night has used nothing meanwhile, so its pages are not idle for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from memd.early import MemInfo

STEEPNESS = 5.0
Sample = tuple[float, float]  # seconds since boot with suspend, and without
BOOT: Sample = (0.0, 0.0)


def wanted(least: float, most: float, memory: MemInfo) -> float:
    """Seconds awake: `most` with all memory free, near `least` with none."""
    utilisation = 1 - min(max(memory.available / memory.total, 0.0), 1.0) if memory.total else 1.0
    return (most - least) * math.exp(-STEEPNESS * utilisation) + least


def counted(age: float, samples: Sequence[Sample]) -> float | None:
    """The age in the kernel's counting (with suspend) of which surely `age` seconds were awake; None where the machine was not awake
    for so long since boot.

    `samples`: taken now and then, ascending, the last one now; boot is known by itself. Between two of them nobody knows when the machine
    slept, so it is taken to have slept as late as it can.
    """
    now_boot, now_awake = samples[-1]
    before = max((sample for sample in (BOOT, *samples) if now_awake - sample[1] >= age), default=None)
    if before is None:
        return None
    boot, awake = before
    return now_boot - (boot + (now_awake - awake - age))


def remembered(samples: Sequence[Sample], most: float) -> tuple[Sample, ...]:
    """Those that ages of up to `most` still need."""
    now = samples[-1][1]
    enough = [index for index, (_, awake) in enumerate(samples) if now - awake >= most]
    return tuple(samples[enough[-1] if enough else 0 :])
