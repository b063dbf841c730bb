"""Who holds a buffer: real fds and mappings of real processes, with memfds where no DMA-BUFs are; those are tests/vm's."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memd.errors import BadKernelFile
from memd.kernel import holders
from memd.kernel.holders import FD, MAP, PATH, Hold
from memd.kernel.root import Root

CLONE_FILES = 0x400
MINE = os.getpid()


@pytest.fixture
def buffer() -> Iterator[int]:
    fd = os.memfd_create("a\nb\r1-2 r 0 0:0 9 /dmabuf:x")
    os.ftruncate(fd, 8192)
    yield fd
    os.close(fd)


def of(pid: int, fd: int) -> list[Hold]:
    stat = os.fstat(fd)
    return [hold for hold in holders.of_process(Root(), pid) if hold.file == (stat.st_dev, stat.st_ino)]


def test_fds_and_mappings(buffer: int) -> None:
    second = os.dup(buffer)
    path = os.open(f"/proc/self/fd/{buffer}", os.O_PATH)
    with mmap.mmap(buffer, 4096):
        found = of(MINE, buffer)
    os.close(second)
    os.close(path)

    shown = {(hold.how, hold.where) for hold in found if hold.how != MAP}
    assert shown >= {(FD, buffer), (FD, second), (PATH, path)}
    assert len(shown) == 4  # CPython's mmap keeps an fd of its own
    assert [hold.how for hold in found].count(MAP) == 1
    assert found[0].name.startswith(b"/memfd:a\nb\r1-2")
    assert found[0].info is None


def test_a_table_of_fds_that_only_one_thread_has(buffer: int) -> None:
    """/proc/PID/fd shows the first thread's table only."""
    hidden, done = threading.Event(), threading.Event()
    mine = os.dup(buffer)

    def hide() -> None:
        assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_FILES) == 0
        hidden.set()
        done.wait()
        os.close(mine)  # of this thread's own table

    thread = threading.Thread(target=hide)
    thread.start()
    hidden.wait()
    os.close(mine)
    found = of(MINE, buffer)
    done.set()
    thread.join()

    assert {hold.where for hold in found} == {buffer, mine}


def test_a_process_that_has_gone(buffer: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[buffer])
    assert [hold.where for hold in of(child.pid, buffer)] == [buffer]
    child.communicate()

    assert of(child.pid, buffer) == []
    assert child.pid not in holders.pids(Root())


LINE = b"7f0000000000-7f0000400000 rw-s 00000000 00:0c 70 "


def test_maps_are_known_by_device_and_inode() -> None:
    text = (
        LINE
        + b"                        /dmabuf:memd:camera:x\n7f00-7f10 r-xp 0 08:01 5 /usr/lib/libc.so\n7f20-7f30 rw-p 0 00:00 0\n"
    )

    assert list(holders.parse_maps(text)) == [(0x7F0000000000, (os.makedev(0, 12), 70), b"/dmabuf:memd:camera:x")]


@pytest.mark.parametrize(
    "forged", [b"\r1000-2000 rw-s 0 00:0c 99 /dmabuf:y", b"\\0121000-2000 rw-s 0 00:0c 99 /dmabuf:y", b"\xff\x1b[2J"]
)
def test_no_name_makes_a_line_of_its_own(forged: bytes) -> None:
    """The kernel writes a newline as \\012; nothing else ends a line."""
    [(_, file, name)] = holders.parse_maps(LINE + b"/dmabuf:x" + forged + b"\n")

    assert file == (os.makedev(0, 12), 70)
    assert name == b"/dmabuf:x" + forged


def test_garbage_in_maps() -> None:
    with pytest.raises(BadKernelFile, match="maps"):
        list(holders.parse_maps(b"what is this then ? /dmabuf:x\n"))
    assert list(holders.parse_maps(b"")) == []


HEADLESS = """
import ctypes, mmap, os, sys, threading
size, libc = 8192, ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mmap(None, size, 1, 1, int(sys.argv[1]), 0)
os.close(int(sys.argv[1]))
threading.Thread(target=lambda: sys.stdin.read()).start()
print("mapped", flush=True)
libc.syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)
"""


def test_a_mapping_of_a_process_whose_first_thread_has_ended(buffer: int) -> None:
    words = [sys.executable, "-c", HEADLESS, str(buffer)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[buffer]) as child:
        assert child.stdout
        assert child.stdin
        assert child.stdout.readline() == b"mapped\n"
        while b"\nState:\tZ" not in Path(f"/proc/{child.pid}/status").read_bytes():
            time.sleep(0.01)
        found = [hold.how for hold in of(child.pid, buffer)]
        child.stdin.close()

    assert found == [MAP]
