"""What keeps a zram device in shape: idle marks, recompression, writeback and its limit, compaction, and what they did. Documents:
Documentation/admin-guide/blockdev/zram.rst, ABI/testing/sysfs-block-zram. idle, writeback, bd_stat since 5.0, writeback_limit since 5.0,
idle by seconds since 5.16, recompress since 6.2, its max_pages since 6.9; compact since 4.1, io_stat since 4.2.

Facts that bite:
- `idle` by seconds is EINVAL without access times (CONFIG_ZRAM_TRACK_ENTRY_ACTIME; before 6.8 CONFIG_ZRAM_MEMORY_TRACKING), and does
  nothing at all for more seconds than the machine is up: older marks stay;
- access times count suspend (CLOCK_BOOTTIME);
- before 6.13 a mark stays until the page is read: marking for one age, then for a longer one, leaves the marks of the first;
- EINVAL for a device without a size; ENODEV for writeback without a backing device; ENOSPC where that is full; EIO where the limit is used
  up, and EIO too where the device can't be written: only `writeback_limit` tells these apart;
- the limit counts 4 KiB whatever the page's size, is rounded down to a page, and is lost at reset; bd_stat counts 4 KiB too;
- writeback and recompress hold a lock that readers of mm_stat and everybody's idle marks need, for all of one write(2); a limit, or
  max_pages, is what bounds it. Before 6.9 max_pages is ignored;
- threshold drops what is not recompressed to less than itself, too; it must be below zsmalloc's largest class (EINVAL), some 3 KiB;
- recompress tries one algorithm from 7.0 on, all of them before, unless `priority=` says which: always say it;
- recomp_algorithm has NULs between its lines on 7.3, as many as the first line has characters (seen);
- io_stat's third number is a constant 0 of any width: split at blanks.
"""

from __future__ import annotations

import errno
import os

from memd.errors import BadKernelFile
from memd.kernel.root import Root
from memd.kernel.zram import BLOCK
from memd.model_care import ZramCounters

UNIT = 4096  # of bd_stat and writeback_limit
NO_DEVICE = "none"
NO_ACCESS_TIMES = errno.EINVAL


def counters(root: Root, name: str, page: int | None = None) -> ZramCounters:
    """What the device has done so far; None where this kernel does not count. FileNotFoundError if there is no such device."""
    page = os.sysconf("SC_PAGE_SIZE") if page is None else page
    mm = _numbers(root, name, "mm_stat", 7)
    if mm is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root.path(f"{BLOCK}/{name}/mm_stat"))
    io, backing = _numbers(root, name, "io_stat", 4), _numbers(root, name, "bd_stat", 3)
    return ZramCounters(
        original=mm[0],
        compressed=mm[1],
        mem_used=mm[2],
        compacted=mm[6] * page,
        huge_since=mm[8] if len(mm) > 8 else None,
        failed_reads=io[0] if io else None,
        failed_writes=io[1] if io else None,
        backed=backing[0] * UNIT if backing else None,
        read_back=backing[1] * UNIT if backing else None,
        written_back=backing[2] * UNIT if backing else None,
    )


def _numbers(root: Root, name: str, attribute: str, least: int) -> list[int] | None:
    path = f"{BLOCK}/{name}/{attribute}"
    text = root.read(path)
    if text is None:
        return None
    words = text.split()
    if len(words) < least or not all(word.isascii() and word.isdigit() for word in words):
        raise BadKernelFile(root.path(path), text)
    return [int(word) for word in words]


def backing_device(root: Root, name: str) -> str | None:
    """The path that zram was given; None if it has none, or this kernel has no writeback."""
    text = (root.read(f"{BLOCK}/{name}/backing_dev") or NO_DEVICE).strip()
    return None if text == NO_DEVICE else text


def backing_size(root: Root, path: str) -> int | None:
    """Bytes of a backing device; None if it has gone."""
    sectors = root.integer(f"sys/class/block/{os.path.basename(os.path.realpath(root.path(path.lstrip('/'))))}/size")
    return sectors and sectors * 512


def recompressors(root: Root, name: str) -> dict[int, str]:
    """Priority (1 to 3) -> secondary algorithm; empty where there is none, or this kernel has no recompression."""
    path = f"{BLOCK}/{name}/recomp_algorithm"
    found = {}
    for line in (root.read(path) or "").replace("\0", "").splitlines():
        head, colon, rest = line.partition(":")
        chosen = [word[1:-1] for word in rest.split() if word.startswith("[") and word.endswith("]")]
        if not colon or not head.startswith("#") or not head[1:].isdigit() or len(chosen) > 1:
            raise BadKernelFile(root.path(path), line)
        if chosen:
            found[int(head[1:])] = chosen[0]
    return found


def mark_idle(root: Root, name: str, age: int | None) -> None:
    """Marks pages that nobody used for `age` seconds; None: all of them. OSError EINVAL for an age on a kernel without access times."""
    root.write(f"{BLOCK}/{name}/idle", "all" if age is None else str(age))


def recompress(root: Root, name: str, kind: str, priority: int, most: int, threshold: int | None = None) -> None:
    """One bounded step: at most `most` pages of `kind` (idle, huge, huge_idle) with the algorithm of that priority."""
    words = f"type={kind} max_pages={most} priority={priority}"
    root.write(f"{BLOCK}/{name}/recompress", words + (f" threshold={threshold}" if threshold else ""))


def limit_writeback(root: Root, name: str, size: int) -> None:
    """From now on this many bytes may be written back, and no more. FileNotFoundError before 5.0: then nothing must be written back."""
    root.write(f"{BLOCK}/{name}/writeback_limit", str(size // UNIT))
    root.write(f"{BLOCK}/{name}/writeback_limit_enable", "1")


def writeback_left(root: Root, name: str) -> int:
    """Bytes that are left of the limit."""
    left = root.integer(f"{BLOCK}/{name}/writeback_limit")
    if left is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root.path(f"{BLOCK}/{name}/writeback_limit"))
    return left * UNIT


def write_back(root: Root, name: str, kind: str) -> None:
    """Until the limit is used up (EIO) or there is no more. The word alone, without `type=`, is what every kernel takes."""
    root.write(f"{BLOCK}/{name}/writeback", kind)


def compact(root: Root, name: str) -> None:
    """Moves what is stored together and gives the pages between back."""
    root.write(f"{BLOCK}/{name}/compact", "1")


def can(root: Root, name: str, attribute: str) -> bool:
    """Whether this kernel has the attribute: idle, recompress, writeback, writeback_limit, compact."""
    return root.exists(f"{BLOCK}/{name}/{attribute}")
