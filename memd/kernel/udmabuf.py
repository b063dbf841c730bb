"""/dev/udmabuf: a DMA-BUF made of a memfd. Source: drivers/dma-buf/udmabuf.c, include/uapi/linux/udmabuf.h (4.20).

Facts that bite: the memfd must be sealed with F_SEAL_SHRINK and without F_SEAL_WRITE; offset and size are whole pages. One buffer may
have at most the module parameter `size_limit_mb` (64 by default), else EINVAL. The memory stays charged to the creator's cgroup, also
after the memfd is closed. Here the fd is ioctl's return value, which Python gives only for a buffer that it may change.
"""

from __future__ import annotations

import fcntl
import os
import struct

from memd.kernel import memfd
from memd.kernel.root import Root

DEVICE = "dev/udmabuf"
SIZE_LIMIT = "sys/module/udmabuf/parameters/size_limit_mb"
CREATE = 0x40187542  # _IOW('u', 0x42, struct udmabuf_create)
REQUEST = struct.Struct("=IIQQ")  # memfd, flags, offset, size
CLOEXEC = 1


def size_limit(root: Root) -> int | None:
    """Bytes that one buffer may have; None where the parameter is not shown. BadKernelFile if it is no number."""
    megabytes = root.integer(SIZE_LIMIT)
    return None if megabytes is None else megabytes << 20


def allocate(path: str, size: int) -> int:
    """A fresh zeroed buffer of `size` bytes (whole pages); the caller owns the fd.

    OSError with the device's path: ENOMEM, ENOSPC, EINVAL (above the limit), ENOENT, ENOTTY (a plain file stands there), EMFILE.
    """
    device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        memory = memfd.create("memd-udmabuf", size)
        try:
            return int(fcntl.ioctl(device, CREATE, bytearray(REQUEST.pack(memory, CLOEXEC, 0, size))))
        finally:
            os.close(memory)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(device)
