"""swapon(2) and swapoff(2). Flags: include/linux/swap.h; SWAP_FLAG_DISCARD_PAGES since 3.11.

Facts that bite: SWAP_FLAG_DISCARD alone also discards the whole device at once (55 ms for 8G that are empty anyway), so only freed
pages are asked for; without SWAP_FLAG_PREFER the kernel picks a priority below all others; swapon is EBUSY for a device that is swap
or that anybody has claimed, and succeeds while udev looks at it; swapoff makes its caller the OOM killer's first victim and reads
back all that was swapped: never call it in a daemon.
"""

from __future__ import annotations

import os

from memd.errors import NotSupported
from memd.kernel.root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PREFER = 0x8000
PRIORITIES = 0x7FFF
DISCARD = 0x10000
DISCARD_PAGES = 0x40000


def flags(priority: int, discard: bool) -> int:  # noqa: FBT001 - the two settings, in their order
    """-1: the kernel's own choice; else 0..32767."""
    if not -1 <= priority <= PRIORITIES:
        raise ValueError(f"{priority} is no swap priority: -1 to {PRIORITIES}")
    return (PREFER | priority if priority >= 0 else 0) | (DISCARD | DISCARD_PAGES if discard else 0)


def swapon(root: Root, path: str, swap_flags: int) -> None:
    """OSError with the path. NotSupported for a machine in a directory: a syscall would reach the real one."""
    _refuse(root, "swapon")
    _check(libc("swapon", path.encode("utf-8", "surrogateescape"), swap_flags), path)


def swapoff(root: Root, path: str) -> None:
    """As `swapon`; ENOMEM if what was swapped out does not fit into RAM."""
    _refuse(root, "swapoff")
    _check(libc("swapoff", path.encode("utf-8", "surrogateescape")), path)


def _refuse(root: Root, call: str) -> None:
    if not root.is_machine:
        raise NotSupported(f"{root.directory} is a machine in a directory: {call} is not called for it")


def _check(error: int, path: str) -> None:
    if error:
        raise OSError(error, os.strerror(error), path)


def libc(name: str, *arguments: bytes | int) -> int:
    """Calls a function of the C library that gives 0 or -1; returns 0 or errno."""
    try:
        call, get_errno = _quick(name)
    except (ImportError, AttributeError, TypeError):  # private to CPython: a later one may have it otherwise
        call, get_errno = _plain(name)
    return 0 if call(*arguments) == 0 else get_errno()


def _quick(name: str) -> tuple[Callable[..., int], Callable[[], int]]:
    """ctypes without the package around it: importing that takes a third of the time from exec to active swap."""
    import _ctypes

    class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # no subscript at run time
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Int

    return Function(_ctypes.dlsym(_ctypes.dlopen(None, os.RTLD_NOW), name)), _ctypes.get_errno  # type: ignore[arg-type]


def _plain(name: str) -> tuple[Callable[..., int], Callable[[], int]]:
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), name), ctypes.get_errno
