"""Free memory back to the kernel. Document: man 3 malloc_trim (glibc 2.8 for all arenas), man 3 mallopt.

Facts that bite: each thread that allocates may get an arena of its own, of which some 100 KiB stay touched; other C libraries have neither
function.
"""

from __future__ import annotations

import ctypes
import gc

M_ARENA_MAX = -8
_libc = ctypes.CDLL(None)


def one_arena() -> None:
    """Before the first thread: memd's threads hardly ever allocate at one time."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_ARENA_MAX, 1)


def settle() -> None:
    """Once what stays is there: it is never looked at by the collector again, and what was only for the start is given back.
    `main.py` starts without the collector, which would look at all that is imported again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
