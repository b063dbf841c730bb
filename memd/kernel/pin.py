"""Whether a buffer's pages can be pinned through a mapping of it. Document: vmsplice(2) (2.6.17); source: mm/gup.c, check_vma_flags.

Facts that bite: pages in a pipe are held by the pipe alone. Where a mapping gives its pages to GUP, a program can vmsplice(2) them,
close and unmap the buffer, and keep its memory with no file, no mapping and no dma-buf left that anybody could list or charge. Mappings
by page frame number (VM_PFNMAP) are EFAULT: those of every heap on 7.3, on 6.1 the system heap's only, not those of CMA heaps and udmabuf.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os

SPLICE_F_NONBLOCK = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def can_pin(fd: int) -> bool:
    """Whether the first page of a buffer can be. OSError where it cannot be tried (a filter for system calls, no fds)."""
    with mmap.mmap(fd, mmap.PAGESIZE) as memory:
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return _vmsplice(ends[1], memory)
        finally:
            for end in ends:
                os.close(end)


def _vmsplice(pipe: int, memory: mmap.mmap) -> bool:
    page = (ctypes.c_char * mmap.PAGESIZE).from_buffer(memory)
    vector = Iovec(ctypes.addressof(page), mmap.PAGESIZE)
    taken = _libc.vmsplice(pipe, ctypes.byref(vector), ctypes.c_size_t(1), ctypes.c_uint(SPLICE_F_NONBLOCK))
    number = ctypes.get_errno()
    if taken < 0 and number != errno.EFAULT:
        raise OSError(number, f"vmsplice: {os.strerror(number)}")
    return int(taken) > 0
