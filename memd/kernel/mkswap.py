"""The swap signature, version 1. Source: include/linux/swap.h, union swap_header (unchanged since 2.6).

Facts that bite: the header is one page of the kernel that swaps, `SWAPSPACE2` are that page's last ten bytes, and numbers have the
machine's byte order; `last_page` counts from 0 and is 32 bits wide; swapon refuses a device shorter than last_page says.
The UUID is the kernel's own /proc/sys/kernel/random/uuid: getrandom(2) may wait for entropy so early in boot, this file never does.
"""

from __future__ import annotations

import os
import sys

from memd.errors import BadKernelFile
from memd.kernel.root import Root

MAGIC = b"SWAPSPACE2"
OFFSET = 1024  # before it is room for a boot sector
LABEL_SIZE = 16
MIN_PAGES = 10  # as util-linux's mkswap has it
UUID = "proc/sys/kernel/random/uuid"


def signature(size: int, page: int, uuid: bytes, label: str = "") -> bytes:
    """The first page of a swap device of `size` bytes. ValueError for what no swap can be."""
    last, name = size // page - 1, label.encode("ascii")
    if last + 1 < MIN_PAGES or last >= 1 << 32:
        raise ValueError(f"{size} bytes are {last + 1} pages; swap has {MIN_PAGES} to 2^32")
    if len(uuid) != 16 or len(name) >= LABEL_SIZE:
        raise ValueError("a UUID has 16 bytes, a label at most 15 characters")
    bad_pages = 0
    numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in (1, last, bad_pages))
    head = bytes(OFFSET) + numbers + uuid + name
    return head.ljust(page - len(MAGIC), b"\0") + MAGIC


def new_uuid(root: Root) -> bytes:
    """16 random bytes; zeros on a kernel without sysctl, which swapon does not mind."""
    text = root.read(UUID)
    if text is None:
        return bytes(16)
    try:
        return bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        raise BadKernelFile(root.path(UUID), text) from None


def write(path: str, header: bytes) -> None:
    """Only to a device that nobody holds: O_EXCL makes EBUSY of mounted or swapped ones (on a plain file it means nothing)."""
    fd = os.open(path, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        if os.pwrite(fd, header, 0) != len(header):
            raise OSError(5, "the swap signature was written in part", path)
        os.fsync(fd)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)


def label(path: str, page: int, *, alone: bool = True) -> str | None:
    """The label of a swap device; None if it has no signature. `alone`: only if nobody holds it, OSError EBUSY if it is in use."""
    fd = os.open(path, os.O_RDONLY | (os.O_EXCL if alone else 0) | os.O_CLOEXEC)
    try:
        header = os.pread(fd, page, 0)
    finally:
        os.close(fd)
    if header[-len(MAGIC) :] != MAGIC or len(header) != page:
        return None
    start = OFFSET + 12 + 16
    return header[start : start + LABEL_SIZE].rstrip(b"\0").decode("ascii", "replace")
