"""DMA-BUF fds. Documents: Documentation/driver-api/dma-buf.rst, include/uapi/linux/dma-buf.h; fdinfo since 5.1, names since 5.3.

Facts that bite: a name is advisory: every holder can change it, and it may hold newlines, so fdinfo is read up to `name:` and what
follows is opaque bytes. Identity is st_dev and st_ino. A name has at most 31 bytes, a longer one is EINVAL. The kernel
tells nobody of the last release: see weakref.py.
"""

from __future__ import annotations

import fcntl
import os

from memd.early import Noun
from memd.errors import BadKernelFile

SET_NAME = 0x40086201  # _IOW('b', 1, __u64), DMA_BUF_SET_NAME_B
NAME_MAX = 31


class DmaBufInfo(Noun):
    """What fdinfo tells. `references`: fds, mappings and importers (fdinfo's `count`); `name`: anything that a holder wrote."""

    size: int
    references: int
    exporter: str
    name: bytes


def size(fd: int) -> int:
    """Bytes. OSError (ESPIPE) if the fd is no buffer."""
    return os.lseek(fd, 0, os.SEEK_END)


def set_name(fd: int, name: bytes) -> None:
    """Cut to what the kernel takes. OSError EBUSY on old kernels while a device is attached, ENOTTY if it is no dma-buf."""
    fcntl.ioctl(fd, SET_NAME, name[:NAME_MAX] + b"\0")


def parse(text: bytes, path: str = "fdinfo") -> DmaBufInfo | None:
    """None if it is no dma-buf's. BadKernelFile if it looks like one and is not."""
    head, _, name = text.partition(b"\nname:\t")
    fields = dict(line.split(b":\t", 1) for line in head.split(b"\n") if b":\t" in line)
    if b"exp_name" not in fields:
        return None
    numbers = [fields.get(key, b"").strip() for key in (b"size", b"count")]
    if not all(number.isdigit() for number in numbers):
        raise BadKernelFile(path, text.decode("utf-8", "replace"))
    exporter = fields[b"exp_name"].decode("utf-8", "backslashreplace")
    return DmaBufInfo(int(numbers[0]), int(numbers[1]), exporter, name.removesuffix(b"\n"))


def read(fd: int) -> DmaBufInfo | None:
    """Of an fd of this process. FileNotFoundError if it is not open."""
    path = f"/proc/self/fdinfo/{fd}"
    with open(path, "rb") as file:
        return parse(file.read(), path)
