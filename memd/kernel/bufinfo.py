"""All DMA-BUFs of the machine: debugfs dma_buf/bufinfo. Source: drivers/dma-buf/dma-buf.c; CONFIG_DEBUG_FS, for root.

Facts that bite: columns are size, flags, mode, count, exporter, inode and a name that any holder may have written, newlines included; up to
5.18 the size is padded otherwise and there may be no name; below each buffer stand the devices that it is attached to; the exporter of a
CMA heap's buffer is the heap's name. A buffer of which only an O_PATH fd is left is in no list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memd.errors import BadKernelFile
from memd.kernel.root import Root

NAME = "sys/kernel/debug/dma_buf/bufinfo"
ROW = re.compile(
    r"^(?P<size>\d{8,})\s+[0-9a-f]{8}\s+[0-9a-f]{8}\s+(?P<count>\d+)\s+(?P<exporter>\S+)\s+(?P<inode>\d+)\b"
)
HEAD = "Dma-buf Objects:"


@dataclass(frozen=True, slots=True)
class BufInfo:
    """One buffer: bytes, references, who made it (a heap or a driver), inode."""

    size: int
    references: int
    exporter: str
    inode: int


def parse(text: str, path: str = NAME) -> tuple[BufInfo, ...]:
    """BadKernelFile unless it is such a list; lines that are no buffer (names with newlines, attachments) are left out."""
    if HEAD not in text:
        raise BadKernelFile(path, text)
    rows = [found for found in map(ROW.match, text.splitlines()) if found]
    return tuple(BufInfo(int(row["size"]), int(row["count"]), row["exporter"], int(row["inode"])) for row in rows)


def read(root: Root) -> tuple[BufInfo, ...] | None:
    """None where this kernel has no such list. OSError (EACCES) for who is not root."""
    text = root.read(NAME)
    return None if text is None else parse(text, root.path(NAME))
