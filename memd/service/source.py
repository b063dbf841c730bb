"""Buffers out of the kernel, of whatever kind of heap; blocking. And the kernel's refusals, each under the name that a caller understands.

memd keeps a reserve of file descriptors for its own work: numbers are given out from the lowest, so an fd near the limit means that
nearly all are in use.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterable, Sequence

from memd.errors import BadKernelFile, Busy, Failed, MemdError, NoMemory, NoSuchHeap, NotSupported
from memd.kernel import dmaheap, pin, simheap, udmabuf
from memd.kernel.requester import Killed, Requester
from memd.kernel.root import Root
from memd.model import Heap, HeapKind
from memd.units import format_size

RESERVE = 64
KILLED = "memory ran out on the way, and the request was ended before anything else had to be; ask for less, or later"
ERRORS: dict[int, tuple[type[MemdError], str]] = {
    errno.ENOMEM: (NoMemory, "the kernel has no memory, or no free run that is long enough"),
    errno.ENOSPC: (NoMemory, "the kernel has no memory, or no watch, to spare"),
    errno.EBUSY: (Busy, "pages of the area could not be moved away in time; ask again"),
    errno.EMFILE: (Busy, "memd has no file descriptor to spare; ask again"),
    errno.ENFILE: (Busy, "the machine has no file descriptor to spare; ask again"),
    errno.ENOENT: (NoSuchHeap, "its device node is gone"),
    errno.ENODEV: (NoSuchHeap, "its device is gone"),
    errno.ENXIO: (NoSuchHeap, "its device is gone"),
    errno.ENOTTY: (Failed, "what stands in its place is no heap's device node"),
}


def allocate(heap: Heap, sizes: Sequence[int]) -> list[int]:
    """All or nothing, in order; the caller owns the fds. OSError as the kernel has it, EMFILE where the reserve would be touched."""
    fds: list[int] = []
    try:
        for size in sizes:
            fds.append(_one(heap, size))
        _spare(max(fds))
    except BaseException:
        close(fds)
        raise
    return fds


def allocate_apart(requester: Requester, heap: Heap, sizes: Sequence[int], *, idle: bool = False) -> list[int]:
    """As `allocate`, by a child that the OOM killer takes before all else; Killed if it did. `idle`: and that runs last of all."""
    fds = requester.allocate(heap.kind.value, heap.path or "", sizes, idle=idle)
    try:
        _spare(max(fds))
    except BaseException:
        close(fds)
        raise
    return fds


def _spare(fd: int) -> None:
    if fd >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def check(root: Root, heap: Heap, sizes: Sequence[int]) -> None:
    """NotSupported for what this kind of heap never gives. OSError, BadKernelFile: the kernel does not say."""
    if heap.kind is not HeapKind.UDMABUF:
        return
    limit = udmabuf.size_limit(root)
    if limit is not None and max(sizes) > limit:
        raise NotSupported(
            f"heap {heap.name} gives at most {format_size(limit)} in one buffer, {format_size(max(sizes))} asked for; "
            "the limit is the module parameter udmabuf.size_limit_mb"
        )


def pinnable(heap: Heap) -> bool:
    """Whether holders could pin a page of it; found by trying with one. OSError where the kernel gives none, or where it is no device."""
    fd = _one(heap, resource.getpagesize())
    try:
        return pin.can_pin(fd)
    finally:
        os.close(fd)


def translate(error: BaseException, heap: Heap) -> MemdError:
    """What a caller is told of an error of `allocate`, or of the books."""
    if isinstance(error, MemdError):
        return error
    if isinstance(error, Killed):
        return NoMemory(f"heap {heap.name}: {KILLED}")
    if not isinstance(error, OSError):
        return Failed(f"heap {heap.name}: {error if isinstance(error, BadKernelFile) else repr(error)}")
    kind, sentence = ERRORS.get(error.errno or 0, (Failed, "the kernel refused"))
    words = os.strerror(error.errno) if error.errno else str(error)
    return kind(f"heap {heap.name}: {sentence} ({words})")


def _one(heap: Heap, size: int) -> int:
    if heap.kind is HeapKind.SIMULATED:
        return simheap.allocate(size)
    assert heap.path
    return udmabuf.allocate(heap.path, size) if heap.kind is HeapKind.UDMABUF else dmaheap.allocate(heap.path, size)
