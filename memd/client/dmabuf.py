"""A lent buffer in the hands of its borrower.

ABI: Documentation/driver-api/dma-buf.rst, include/uapi/linux/dma-buf.h (DMA_BUF_IOCTL_SYNC: since 4.6).
Facts:
- Between CPU and device accesses to one mapping the CPU's must stand between SYNC START and SYNC END, or caches lie.
- Neither READ nor WRITE in the flags is EINVAL. The call may fail with EAGAIN or EINTR and is then to be repeated.
- A buffer of heap `simulated` is a memfd, no DMA-BUF: ENOTTY, and nothing to synchronise.
- An access that only reads needs START READ, else caches are written back for nothing; one that writes needs WRITE.
- The ioctl's number is asm-generic's; mips, powerpc and sparc number theirs differently.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager

SYNC = 0x40086200  # _IOW('b', 0, __u64)
READ, WRITE, END = 1, 2, 4


class DmaBuf:
    """An open buffer, from either client. Owns its fd until `close`, `detach` or the end of a `with`; memd keeps no fd, so the last
    close anywhere frees it.

    `id`: as in ListBuffers; `heap`: which heap served; `size`: bytes, rounded up to pages.
    """

    def __init__(self, fd: int, id: int, heap: str, size: int) -> None:  # noqa: A002 - the name it has on the bus
        self._fd = fd
        self.id = id
        self.heap = heap
        self.size = size

    def __enter__(self) -> DmaBuf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<DmaBuf {self.id} heap={self.heap} size={self.size} fd={self._fd}>"

    def fileno(self) -> int:
        """The fd, still owned by the DmaBuf. ValueError after close or detach."""
        if self._fd < 0:
            raise ValueError(f"buffer {self.id} is closed")
        return self._fd

    def detach(self) -> int:
        """The fd, from now on the caller's to close."""
        fd, self._fd = self.fileno(), -1
        return fd

    def close(self) -> None:
        """Idempotent. Mappings stay valid, and keep the memory lent, until they are closed too."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def mmap(self, *, write: bool = True) -> mmap.mmap:
        """The whole buffer, shared. Close it too: the memory stays lent as long as a mapping is left."""
        return mmap.mmap(self.fileno(), self.size, mmap.MAP_SHARED, mmap.PROT_READ | (mmap.PROT_WRITE if write else 0))

    def sync_read(self) -> AbstractContextManager[None]:
        """`with buffer.sync_read():` around the CPU's reading of a mapping."""
        return self._sync(READ)

    def sync_write(self) -> AbstractContextManager[None]:
        """`with buffer.sync_write():` around the CPU's writing to a mapping."""
        return self._sync(WRITE)

    def sync(self) -> AbstractContextManager[None]:
        """`with buffer.sync():` around both."""
        return self._sync(READ | WRITE)

    @contextlib.contextmanager
    def _sync(self, flags: int) -> Iterator[None]:
        """Does nothing where the buffer is no DMA-BUF. OSError as the kernel says it."""
        if self._ioctl(flags):
            try:
                yield
            finally:
                self._ioctl(flags | END)
        else:
            yield

    def _ioctl(self, flags: int) -> bool:
        """False where this is no DMA-BUF."""
        while True:
            try:
                fcntl.ioctl(self.fileno(), SYNC, struct.pack("=Q", flags))
            except OSError as error:
                if error.errno == errno.ENOTTY:
                    return False
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    raise
            else:
                return True
