"""DMA-BUF heaps: /dev/dma_heap. Document: Documentation/userspace-api/dma-buf-heaps.rst, include/uapi/linux/dma-heap.h (5.6).

Facts that bite: `fd` must be 0 on entry, and the buffer's fd is in the struct, not in ioctl's return value (0). Opening read-only is
enough to allocate. The length is rounded up to pages; 0 is EINVAL. ENOMEM: no memory, or no free run in a CMA area; EBUSY: pages of
the run could not be moved away. There is no cap in the kernel, and the call may block for seconds: check first, call in a thread.
Heaps may come as modules: the directory can appear long after start.
"""

from __future__ import annotations

import fcntl
import os
import struct

from memd.kernel.root import Root

DIRECTORY = "dev/dma_heap"
ALLOC = 0xC0184800  # _IOWR('H', 0, struct dma_heap_allocation_data)
ALLOCATION = struct.Struct("=QIIQ")  # len, fd, fd_flags, heap_flags


def names(root: Root) -> tuple[str, ...] | None:
    """Heaps that are there now, sorted; None where the kernel has none. Names that no listing could show are left out."""
    found = root.list(DIRECTORY)
    return None if found is None else tuple(name for name in found if name.isprintable())


def allocate(path: str, size: int) -> int:
    """A fresh zeroed buffer of at least `size` bytes; the caller owns the fd (read-write, close-on-exec).

    OSError with the heap's path: ENOMEM, EBUSY, ENOENT (the heap is gone), ENOTTY (a plain file stands there), EMFILE.
    """
    heap = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(heap, ALLOC, ALLOCATION.pack(size, 0, os.O_RDWR | os.O_CLOEXEC, 0))
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(heap)
    return int(ALLOCATION.unpack(answer)[1])
