"""The simulated heap: a memfd where a machine has no heaps. It can be mapped and shared like a DMA-BUF, and is none.

Facts that bite: DMA_BUF_IOCTL_SYNC on it is ENOTTY, no device can import it, and it is not contiguous. Its name says what it is in
every /proc/PID/maps and /proc/PID/fd.
"""

from __future__ import annotations

from memd.kernel import memfd

NAME = "memd-simulated-heap"


def allocate(size: int) -> int:
    """A sealed memfd of `size` bytes; the caller owns the fd. OSError ENOSPC or ENOMEM: no memory."""
    return memfd.create(NAME, size)
