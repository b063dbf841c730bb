"""DMA-BUF heaps and buffers as the kernel offers them, without memd: what the tests compare memd with.

Documentation/userspace-api/dma-buf-heaps.rst, include/uapi/linux/dma-heap.h (5.6) and dma-buf.h.
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

HEAP_ALLOC = 0xC0184800  # _IOWR('H', 0, {u64 len; u32 fd; u32 fd_flags; u64 heap_flags})
SYNC = 0x40086200  # _IOW('b', 0, u64)
SYNC_READ, SYNC_WRITE, SYNC_END = 1, 2, 4
MiB = 1 << 20


def allocate(heap: str, size: int) -> int:
    """A buffer's fd from /dev/dma_heap/HEAP. OSError as the kernel gives it."""
    device = os.open(f"/dev/dma_heap/{heap}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        request = bytearray(struct.pack("=QIIQ", size, 0, os.O_RDWR | os.O_CLOEXEC, 0))
        fcntl.ioctl(device, HEAP_ALLOC, request)
        return int(struct.unpack("=QIIQ", request)[1])
    finally:
        os.close(device)


@contextlib.contextmanager
def buffer(heap: str, size: int) -> Iterator[int]:
    """A buffer's fd, closed at the end."""
    fd = allocate(heap, size)
    try:
        yield fd
    finally:
        os.close(fd)


def sync(fd: int, flags: int) -> None:
    """Begin or end an access by the CPU."""
    fcntl.ioctl(fd, SYNC, struct.pack("=Q", flags))


def size_of(fd: int) -> int:
    """A buffer's size in bytes."""
    return os.lseek(fd, 0, os.SEEK_END)


def heap_of(fd: int) -> str:
    """The exporter's name in fdinfo: the heap, on kernels that name it."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("exp_name:"))


def meminfo(key: str) -> int:
    """A value of /proc/meminfo in bytes."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def cma_free(region: str) -> int:
    """Free bytes of a CMA area. CmaFree is the last resort: pages on the CPUs' own lists, some of them an area's, are not in it."""
    page = os.sysconf("SC_PAGE_SIZE")
    own, debug = Path(f"/sys/kernel/mm/cma/{region}/available_pages"), Path(f"/sys/kernel/debug/cma/{region}")
    if own.exists():
        return int(own.read_text()) * page
    if debug.exists():
        return (int((debug / "count").read_text()) - int((debug / "used").read_text())) * page
    return meminfo("CmaFree")
