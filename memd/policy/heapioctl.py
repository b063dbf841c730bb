"""What DMA_HEAP_IOCTL_ALLOC asks and may be answered: its struct, the kernel's own checks, and the errno for each refusal of memd's.

Source: include/uapi/linux/dma-heap.h, drivers/dma-buf/dma-heap.c (dma_heap_ioctl, dma_heap_ioctl_allocate).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from memd import errors
from memd.errors import MemdError

REQUEST = struct.Struct("=QIIQ")  # struct dma_heap_allocation_data: len, fd, fd_flags, heap_flags
FD_OFFSET = 8
CLOEXEC, ACCESS = 0o2000000, 3  # O_CLOEXEC and O_ACCMODE of asm-generic

ERRNO: dict[type[MemdError], int] = {
    errors.NoSuchHeap: errno.ENODEV,
    errors.NotAllowed: errno.EACCES,
    errors.QuotaExceeded: errno.ENOMEM,
    errors.LimitsExceeded: errno.ENOMEM,
    errors.NoMemory: errno.ENOMEM,
    errors.PressureTooHigh: errno.ENOMEM,
    errors.Busy: errno.ENOMEM,  # what the kernel says of a CMA area whose pages it cannot move
    errors.NotSupported: errno.EINVAL,
    errors.InvalidArgs: errno.EINVAL,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """`size` in bytes; `flags`: O_CLOEXEC or 0, for the fd in the program."""

    size: int
    flags: int


def taken(request: int) -> int:
    """How many bytes of the program's struct the kernel reads and writes: the size in the request's number, at most what it knows."""
    return min(request >> 16 & 0x3FFF, REQUEST.size)


def parse(raw: bytes) -> Wanted | int:
    """What is wanted, or the errno that the kernel would give. A struct that is too short is filled with zeros, as the kernel does."""
    size, fd, fd_flags, heap_flags = REQUEST.unpack(raw.ljust(REQUEST.size, b"\0"))
    if fd or heap_flags or not size or fd_flags & ~(CLOEXEC | ACCESS):
        return errno.EINVAL
    return Wanted(size, fd_flags & CLOEXEC)


def number(error: MemdError) -> int:
    """The errno of a refusal; ENODEV for what is no refusal: no memd, or one that fails."""
    return ERRNO.get(type(error), errno.ENODEV)


def files(heaps: Iterable[str], renamed: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name under /dev/dma_heap -> the heap to ask for. `renamed`: (old, new) pairs; an old name that a heap has goes to the new one."""
    return {**{name: name for name in heaps if name and "/" not in name}, **dict(renamed)}
