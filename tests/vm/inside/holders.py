"""Ways to hold a buffer. Each takes a buffer's fd, which its caller closes afterwards, and holds the buffer until the stack ends."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable

Holder = Callable[[int, contextlib.ExitStack], None]
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_READ_WRITE, _SHARED = 3, 1
_AT_FDCWD, _OPEN_TREE = -100, 428


def map_only(fd: int) -> tuple[int, int]:
    """Address and size of a mapping, for `unmap`. (Python's own mmap keeps an fd beside it.)"""
    size = os.lseek(fd, 0, os.SEEK_END)
    address = _libc.mmap(None, size, _READ_WRITE, _SHARED, fd, 0)
    assert address not in {None, ctypes.c_void_p(-1).value}, os.strerror(ctypes.get_errno())
    return address, size


def unmap(address: int, size: int) -> None:
    """The end of a mapping."""
    assert _libc.munmap(address, size) == 0


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def child(held: contextlib.ExitStack, work: Callable[[], object]) -> None:
    """A process of ours that does `work`, then sleeps until SIGKILL ends it with the stack."""
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            work()
            os.write(told, b"1")
            signal.pause()
        os._exit(1)
    held.callback(os.waitpid, pid, 0)
    held.callback(os.kill, pid, signal.SIGKILL)
    os.close(told)
    fine = os.read(ready, 1)
    os.close(ready)
    assert fine, "the child failed"


def passed_on(fd: int, held: contextlib.ExitStack) -> None:
    ours, theirs = pair()
    with ours, theirs:
        socket.send_fds(ours, [b"1"], [fd])
        child(held, lambda: (os.close(fd), socket.recv_fds(theirs, 1, 1)))


def in_flight(fd: int, held: contextlib.ExitStack) -> None:
    ours, theirs = pair()
    held.enter_context(theirs)
    with ours:
        socket.send_fds(ours, [b"1"], [fd])


def in_a_circle(fd: int, held: contextlib.ExitStack) -> None:
    """In sockets that lie in each other at the end: nobody can receive it any more, and no process has an fd of either."""
    ours, theirs = pair()
    socket.send_fds(ours, [b"1"], [fd, theirs.fileno()])
    socket.send_fds(theirs, [b"1"], [ours.fileno()])
    for end in (ours, theirs):
        held.callback(end.close)


def mapped(fd: int, held: contextlib.ExitStack) -> None:
    held.callback(unmap, *map_only(fd))


def mapped_by_another(fd: int, held: contextlib.ExitStack) -> None:
    child(held, lambda: (map_only(fd), os.close(fd)))


def forked(fd: int, held: contextlib.ExitStack) -> None:
    child(held, lambda: fd)


def executed(fd: int, held: contextlib.ExitStack) -> None:
    process = subprocess.Popen(["sleep", "1000"], pass_fds=[fd], stdin=subprocess.DEVNULL)
    held.callback(process.wait)
    held.callback(process.kill)


def duplicated(fd: int, held: contextlib.ExitStack) -> None:
    for _ in range(3):
        held.callback(os.close, os.dup(fd))


def as_a_path(fd: int, held: contextlib.ExitStack) -> None:
    """O_PATH: no file, and the memory stays all the same."""
    held.callback(os.close, os.open(f"/proc/self/fd/{fd}", os.O_PATH))


def as_a_tree(fd: int, held: contextlib.ExitStack) -> None:
    """open_tree(2): likewise."""
    found = _libc.syscall(_OPEN_TREE, _AT_FDCWD, f"/proc/self/fd/{fd}".encode(), 0)
    assert found >= 0, os.strerror(ctypes.get_errno())
    held.callback(os.close, found)


OPEN: list[Holder] = [
    passed_on,
    in_flight,
    in_a_circle,
    mapped,
    mapped_by_another,
    forked,
    executed,
    duplicated,
]
HIDDEN: list[Holder] = [as_a_path, as_a_tree]
