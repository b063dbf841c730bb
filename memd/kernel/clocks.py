"""Time as the kernel counts it. Document: clock_gettime(2); CLOCK_BOOTTIME since 2.6.39.

Facts that bite: CLOCK_MONOTONIC stands still in suspend, and so do the loop's timers; CLOCK_BOOTTIME goes on; both begin anew at boot;
CLOCK_REALTIME may jump either way, and is decades off on a board without a battery until the network is there.
"""

from __future__ import annotations

import time

from memd.kernel.root import Root

BOOT_ID = "proc/sys/kernel/random/boot_id"


def awake() -> float:
    """Seconds since boot, without suspend."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def since_boot() -> float:
    """Seconds since boot, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id(root: Root) -> str:
    """Another one at each boot; "" on a kernel without sysctl."""
    return (root.read(BOOT_ID) or "").strip()
