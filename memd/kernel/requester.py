"""Large requests in a process of their own, which the OOM killer takes first. Document: proc_pid_oom_score_adj(5), unix(7).

Facts that bite:
- while a heap's ioctl collects pages they belong to nobody: the OOM killer sees no large process, and takes bystanders. With
  oom_score_adj 1000 the one who asks is taken before all others, the ioctl sees the signal, and the pages are back;
- raising one's own score needs no privilege; a child inherits it, so it is raised in the child and nowhere else;
- fork(2) of a process with threads is unsafe, and starting an interpreter takes some 30 ms: so a helper without threads is started at
  the first large request, forks a child for each, and ends when nothing was asked for a while;
- the helper leaves its starter at once, so that memd has no child to wait for; it ends with memd, whose end of the socket it watches.

The helper runs this file with nothing but the standard library: what is imported up here is what its start costs.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence

from memd.kernel import dmaheap, simheap, udmabuf

IDLE = 30.0
TRIES = 3  # a helper may be just about to end when it is asked
MOST = 64  # fds of one answer
MAX_REQUEST = 4096
VICTIM = "1000"
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CODE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from memd.kernel import requester; requester.main(int(sys.argv[2]))"
)


class Killed(Exception):
    """The child was killed before it had an answer; the kernel has its pages back."""


class Requester:
    """Any thread may ask; each request has a child of its own. `close` ends the helper."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None

    def allocate(self, kind: str, path: str, sizes: Sequence[int], *, idle: bool = False) -> list[int]:
        """All or nothing, in order; the caller owns the fds. `kind`: as HeapKind's values. `idle`: only where the CPU has nothing else
        to do. Killed; OSError as the kernel has it, or EMFILE if this process has no fd left."""
        words = ("idle" if idle else "", kind, path, *map(str, sizes))
        request = "\0".join(words).encode("utf-8", "surrogateescape")
        for _ in range(TRIES):
            with self._asked(request) as answer:
                if answer.recv(16):
                    return _answer(answer, len(sizes))
        raise Killed

    def close(self) -> None:
        with self._lock:
            if self._control:
                self._control.close()
                self._control = None

    def _asked(self, request: bytes) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, self._lock:
                self._send(request, theirs)
        except BaseException:
            ours.close()
            raise
        return ours

    def _send(self, request: bytes, answer: socket.socket) -> None:
        if self._control:
            try:
                socket.send_fds(self._control, [request], [answer.fileno()])
            except (BrokenPipeError, ConnectionResetError):
                self._control.close()
            else:
                return
        self._control = _start()
        socket.send_fds(self._control, [request], [answer.fileno()])


def _start() -> socket.socket:
    """The helper's control socket. OSError if there is no process to be had."""
    import subprocess

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    with theirs:
        words = [sys.executable, "-I", "-S", "-c", CODE, PACKAGE, str(theirs.fileno())]
        try:
            subprocess.run(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment, check=True)
        except BaseException as error:
            ours.close()
            if not isinstance(error, subprocess.CalledProcessError):
                raise
            raise OSError(errno.EAGAIN, f"no helper process: {error}") from error
    return ours


def _answer(answer: socket.socket, count: int) -> list[int]:
    """Returns when the child has let go of the buffers, so that they are its asker's alone."""
    data, fds, cut = _receive(answer, 16)
    try:
        if len(fds) == count and not cut:
            answer.recv(1)
            return fds
    except BaseException:
        _close(fds)
        raise
    _close(fds)
    if not data:
        raise Killed
    number = errno.EMFILE if cut else int(data)
    raise OSError(number, os.strerror(number))


def _receive(sock: socket.socket, size: int) -> tuple[bytes, list[int], bool]:
    """Data, fds, and whether some found no place here. (socket.recv_fds forgets its flags.)"""
    data, messages, flags, _ = sock.recvmsg(size, socket.CMSG_SPACE(MOST * 4), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for _, _, rights in messages:
        fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
    return data, list(fds), bool(flags & socket.MSG_CTRUNC)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


# In the helper and its children


def main(fd: int) -> None:
    """Serve what comes by the socket `fd`. Started by `_start`, whose wait ends here with the first of two processes."""
    with socket.socket(fileno=fd) as control:
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children leave nothing behind
        control.settimeout(IDLE)
        with contextlib.suppress(TimeoutError):
            while _serve(control):
                pass
    os._exit(0)


def _serve(control: socket.socket) -> bool:
    request, fds, _ = _receive(control, MAX_REQUEST)
    if not request:
        return False
    with socket.socket(fileno=fds[0]) as answer, contextlib.suppress(OSError):
        answer.send(b"served")
        try:
            child = os.fork()
        except OSError as error:
            answer.send(b"%d" % (error.errno or errno.EIO))
            return True
        if not child:
            control.close()
            _work(request, answer)
    return True


def _work(request: bytes, answer: socket.socket) -> None:
    """In the child, which ends here. Nobody is told if memd is gone: then the buffers go with this process."""
    try:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(VICTIM)
        words = request.decode("utf-8", "surrogateescape").split("\0")
        if words[0]:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        try:
            fds = _make(*words[1:])
        except OSError as error:
            answer.send(b"%d" % (error.errno or errno.EIO))
        else:
            socket.send_fds(answer, [b"0"], fds)
            _close(fds)
    finally:
        os._exit(0)


def _make(kind: str, path: str, *sizes: str) -> list[int]:
    if kind == "simulated":
        return [simheap.allocate(int(size)) for size in sizes]
    make = udmabuf.allocate if kind == "udmabuf" else dmaheap.allocate
    return [make(path, int(size)) for size in sizes]
