"""inotify(7) by ctypes: Python has no wrapper. Document: man 7 inotify (2.6.13); fdinfo since 3.8.

Facts that bite: a queue holds 16384 events and then says IN_Q_OVERFLOW with wd -1, so events are hints to look again and never the
truth; a user has 128 instances. wd numbers are not reused. fdinfo shows the watches that are left, in hexadecimal; its `sdev` is the
kernel's own dev_t, with a minor of 20 bits.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct

CREATE, DELETE, MOVED_FROM, MOVED_TO, DELETE_SELF = 0x100, 0x200, 0x40, 0x80, 0x400
ONLYDIR = 0x01000000
HEADER = struct.Struct("iIII")  # wd, mask, cookie, len
WATCH = rb"(?m)^inotify wd:([0-9a-f]+) ino:([0-9a-f]+) sdev:([0-9a-f]+) "
_libc = ctypes.CDLL(None, use_errno=True)
_add_watch = _libc.inotify_add_watch
_add_watch.argtypes = ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32


class Inotify:
    """One instance, new or taken over with its watches. Owns its fd; `close` ends it."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = fd if fd is not None else _check(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify")

    def fileno(self) -> int:
        return self.fd

    def watch(self, path: str | bytes, mask: int) -> int:
        """The watch's number: the same one again for the same inode. OSError with the path."""
        number: int = _add_watch(self.fd, path if type(path) is bytes else os.fsencode(path), mask)
        return number if number >= 0 else _check(number, os.fsdecode(path))

    def events(self) -> list[tuple[int, str]]:
        """What is queued now: (wd, name in the watched directory or ""); wd -1 where events were lost."""
        found = []
        for chunk in _chunks(self.fd):
            at = 0
            while at < len(chunk):
                wd, _mask, _cookie, length = HEADER.unpack_from(chunk, at)
                at += HEADER.size
                found.append((wd, os.fsdecode(chunk[at : at + length].rstrip(b"\0"))))
                at += length
        return found

    def watches(self) -> dict[int, tuple[int, int]]:
        """Of the watches whose inode is still there: number -> (st_ino, st_dev), asked of the kernel."""
        with open(f"/proc/self/fdinfo/{self.fd}", "rb") as file:
            found = ([int(word, 16) for word in words] for words in re.findall(WATCH, file.read()))
            return {wd: (inode, os.makedev(device >> 20, device & 0xFFFFF)) for wd, inode, device in found}

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _chunks(fd: int) -> list[bytes]:
    chunks = []
    while True:
        try:
            chunks.append(os.read(fd, 65536))
        except BlockingIOError:
            return chunks


def _check(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
