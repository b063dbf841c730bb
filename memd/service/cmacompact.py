"""Compaction of zram before a large request to a CMA heap: its pages are movable, so they settle in CMA regions, and the fewer there
are, the fewer have to move. Off unless `CompactBeforeCma=` says from which size on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from memd.errors import BadKernelFile
from memd.kernel import swaps, zramcare
from memd.kernel.root import Root
from memd.model import HeapKind
from memd.policy import zramsections


def before(root: Root, kind: HeapKind, size: int, least: int) -> Callable[[], None] | None:
    """What to do first, in the area's own thread; None where nothing is. `least`: bytes, 0 never."""
    return partial(compact, root) if kind is HeapKind.CMA and 0 < least <= size else None


def compact(root: Root) -> None:
    """Each zram that is swap. What can't be compacted is no reason not to try the request."""
    with contextlib.suppress(OSError, BadKernelFile):
        for swap in swaps.read(root) or ():
            name = zramsections.zram_name(swap)
            if name:
                with contextlib.suppress(OSError):
                    zramcare.compact(root, name)
