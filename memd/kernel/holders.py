"""Who holds a DMA-BUF: fds, O_PATH fds and mappings of every process. Documents: Documentation/filesystems/proc.rst ("/proc/PID/fdinfo",
"/proc/PID/maps"; dma-buf lines since 5.1), Documentation/driver-api/dma-buf.rst.

Facts that bite:
- identity is st_dev and st_ino. The link of an fd reads `/dmabuf:NAME`, that of a memfd `/memfd:NAME (deleted)`; a file on disk may be
  called so too, so what the link says is a reason to look and no proof. fdinfo's `exp_name:` is proof; what stands before it no holder can
  forge, what follows `name:` he can.
- an O_PATH fd has no such lines, and keeps the memory all the same: it is known by its device.
- a thread may have a table of fds of its own, which /proc/PID/fd does not show; a process whose first thread has ended shows none at all,
  and an empty /proc/PID/maps. So all threads are looked at; kcmp(KCMP_FILES) tells those that share the first one's table.
- fds in flight in a socket, and drivers' attachments, are in no process. `count:` in fdinfo has all: what is left over is held elsewhere.
- whatever belongs to a process may be gone a moment later; that is no error.
- names are bytes; the kernel writes a newline in maps as `\\012`, and nothing else: a carriage return is no end of a line.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass

from memd.errors import BadKernelFile
from memd.kernel import dmabuf
from memd.kernel.dmabuf import DmaBufInfo
from memd.kernel.root import Root

FD, MAP, PATH = "fd", "map", "path"
PREFIXES = (b"/dmabuf:", b"/memfd:")
O_PATH = 0o10000000
KCMP_FILES = 2
SYS_KCMP = {"x86_64": 312, "aarch64": 272, "armv7l": 378, "riscv64": 272}
GONE = (FileNotFoundError, NotADirectoryError, ProcessLookupError)
File = tuple[int, int]  # st_dev, st_ino
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Hold:
    """One fd, O_PATH fd or mapping (`how`). `where`: the fd's number, or the first address mapped. `info`: what fdinfo tells, of an fd of
    a DMA-BUF only; `name`: of the file, as the kernel's link has it."""

    pid: int
    how: str
    where: int
    file: File
    name: bytes = b""
    info: DmaBufInfo | None = None


def pids(root: Root) -> list[int]:
    return [int(name) for name in root.list("proc") or () if name.isdigit()]


def of_process(root: Root, pid: int) -> list[Hold]:
    """Of what may be DMA-BUFs or memfds. Empty if the process has gone; PermissionError if it may not be looked at."""
    try:
        held = [hold for task in _tables(root, pid) for hold in _fds(root, pid, f"proc/{pid}/task/{task}")]
        return held + list(_maps(root, pid))
    except GONE:
        return []


def parse_maps(text: bytes) -> Iterator[tuple[int, File, bytes]]:
    """First address, file and name of each mapping that may be one. BadKernelFile for what is no line of maps."""
    for line in text.split(b"\n"):
        words = line.split(None, 5)
        if len(words) < 6 or not words[5].startswith(PREFIXES):
            continue
        try:
            major, minor = (int(word, 16) for word in words[3].split(b":"))
            yield int(words[0].split(b"-")[0], 16), (os.makedev(major, minor), int(words[4])), words[5]
        except ValueError:
            raise BadKernelFile("maps", line.decode("utf-8", "backslashreplace")) from None


def _tables(root: Root, pid: int) -> Iterator[str]:
    """One thread for each table of fds that the process has."""
    for task in root.list(f"proc/{pid}/task") or ():
        if int(task) == pid or not _same_files(pid, int(task)):
            yield task


def _same_files(first: int, second: int) -> bool:
    """False also where this kernel cannot tell: then a thread is looked at for nothing."""
    number = SYS_KCMP.get(platform.machine())
    return number is not None and _libc.syscall(number, first, second, KCMP_FILES, 0, 0) == 0


def _fds(root: Root, pid: int, task: str) -> Iterator[Hold]:
    for number in root.list(f"{task}/fd") or ():
        try:
            hold = _fd(root.path(task), pid, number)
        except GONE:
            continue
        if hold:
            yield hold


def _fd(task: str, pid: int, number: str) -> Hold | None:
    link = os.fsencode(os.readlink(f"{task}/fd/{number}"))
    if not link.startswith(PREFIXES):
        return None
    with open(f"{task}/fdinfo/{number}", "rb") as file:
        text = file.read()
    stat = os.stat(f"{task}/fd/{number}")
    info = dmabuf.parse(text, file.name)
    how = PATH if info is None and _flags(text) & O_PATH else FD
    return Hold(pid, how, int(number), (stat.st_dev, stat.st_ino), link, info)


def _flags(text: bytes) -> int:
    """0 where it is not told."""
    line = next((line for line in text.split(b"\n") if line.startswith(b"flags:")), b"")
    word = line.partition(b":")[2].strip()
    return int(word, 8) if word.isdigit() and not set(word) & set(b"89") else 0


def _maps(root: Root, pid: int) -> Iterator[Hold]:
    for address, where, name in parse_maps(_maps_text(root, pid)):
        yield Hold(pid, MAP, address, where, name)


def _maps_text(root: Root, pid: int) -> bytes:
    """Of the first thread that has any: they share their memory, and one that has ended shows none."""
    for name in (f"proc/{pid}", *(f"proc/{pid}/task/{task}" for task in root.list(f"proc/{pid}/task") or ())):
        try:
            with open(root.path(f"{name}/maps"), "rb") as file:
                text = file.read()
        except GONE:
            continue
        if text:
            return text
    return b""
