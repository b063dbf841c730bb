"""The helper of memctl run: outside of the program's namespaces it answers each DMA_HEAP_IOCTL_ALLOC of the program and its children.

It ends when nobody is left who could ask. Owns the listener, its connections to memd, and each buffer until the program has it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from memd.cli import common
from memd.cli.render import safe
from memd.errors import MemdError
from memd.kernel import seccomp
from memd.kernel.seccomp import Notification
from memd.policy import heapioctl
from memd.policy.heapioctl import Wanted

if TYPE_CHECKING:
    from memd.client import DmaBuf, Memd

THREADS = 4  # a request that takes long does not hold up those of the program's other threads
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # they are the program's, which may live on


def main(link: socket.socket, arguments: argparse.Namespace) -> None:
    """Until nobody is left who could ask, or the other end of `link` goes away without having sent a listener."""
    os.setsid()
    os.chdir("/")
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _let_go({link.fileno(), 2} if arguments.verbose else {link.fileno()})
    message, (listener, *_), _, _ = socket.recv_fds(link, 1 << 20, 1)
    table = {(device, inode): heap for device, inode, heap in json.loads(message)}
    answers = Answers(listener, table, arguments)
    link.send(b"1")
    link.close()
    answers.serve()


def _let_go(kept: set[int]) -> None:
    """The program's pipes must end when the program closes them: nothing of its is kept open here."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in {0, 1, 2} - kept:
        os.dup2(null, fd)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept | {0, 1, 2}:
            with contextlib.suppress(OSError):  # the directory's own
                os.close(int(name))


class Answers:
    """`table`: which of memd's heaps each file stands for, by (st_dev, st_ino)."""

    def __init__(self, listener: int, table: dict[tuple[int, int], str], arguments: argparse.Namespace) -> None:
        self._listener, self._table, self._arguments = listener, table, arguments
        self._turn = threading.Lock()
        self._own = threading.local()

    def serve(self) -> None:
        threads = [threading.Thread(target=self._loop) for _ in range(THREADS - 1)]
        for thread in threads:
            thread.start()
        self._loop()
        for thread in threads:
            thread.join()

    def _loop(self) -> None:
        """One thread waits for the next call, the others answer: whoever has taken one lets the next thread wait."""
        while True:
            with self._turn:
                asked = seccomp.receive(self._listener)
            if asked is None:
                return
            try:
                self._answer(asked)
            except OSError as error:  # the program died meanwhile, or has no room for an fd
                seccomp.answer(self._listener, asked.id, error.errno or errno.EIO)

    def _answer(self, asked: Notification) -> None:
        heap = self._heap(f"/proc/{asked.pid}/fd/{asked.fd}")
        if heap is None:
            seccomp.pass_on(self._listener, asked.id)
            return
        memory = os.open(f"/proc/{asked.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            if seccomp.valid(self._listener, asked.id):
                seccomp.answer(self._listener, asked.id, self._serve(asked, heap, memory))
        finally:
            os.close(memory)

    def _heap(self, path: str) -> str | None:
        """None for another device with an ioctl of the same number, and for an fd that is none."""
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        return self._table.get((status.st_dev, status.st_ino))

    def _serve(self, asked: Notification, heap: str, memory: int) -> int:
        """0 or errno. The struct is written back once before anything is allocated: what cannot be written is EFAULT, and costs nothing."""
        raw = _read(memory, asked.address, heapioctl.taken(asked.request))
        if raw is None or not _write(memory, asked.address, raw):
            return errno.EFAULT
        wanted = heapioctl.parse(raw)
        if isinstance(wanted, int):
            return wanted
        try:
            return self._lend(asked, heap, wanted, memory)
        except MemdError as error:
            self._tell(f"{heap}: {wanted.size} bytes refused: {error}")
            return heapioctl.number(error)

    def _lend(self, asked: Notification, heap: str, wanted: Wanted, memory: int) -> int:
        with self._allocate(heap, wanted.size) as buffer:
            number = seccomp.give_fd(self._listener, asked.id, buffer.fileno(), wanted.flags)
            self._tell(
                f"{heap}: {buffer.size} bytes as buffer {buffer.id} from {buffer.heap}, fd {number} in process {asked.pid}"
            )
        written = _write(memory, asked.address + heapioctl.FD_OFFSET, number.to_bytes(4, sys.byteorder))
        return 0 if written else errno.EFAULT

    def _allocate(self, heap: str, size: int) -> DmaBuf:
        """By this thread's own connection; memd may have been started anew since the last call: then once more."""
        from memd.client.errors import Unreachable

        for last in (False, True):
            try:
                self._own.memd = getattr(self._own, "memd", None) or common.connect(self._arguments)
                memd: Memd = self._own.memd
                return memd.allocate(heap, size)
            except Unreachable:
                if last:
                    raise
                if broken := getattr(self._own, "memd", None):
                    broken.close()
                self._own.memd = None
        raise AssertionError

    def _tell(self, message: str) -> None:
        if self._arguments.verbose:
            print(f"memctl run: {safe(message)}", file=sys.stderr, flush=True)


def _read(memory: int, address: int, size: int) -> bytes | None:
    """None for memory that is not there."""
    try:
        return os.pread(memory, size, address) if size else b""
    except (OSError, OverflowError):
        return None


def _write(memory: int, address: int, data: bytes) -> bool:
    try:
        return not data or os.pwrite(memory, data, address) == len(data)
    except (OSError, OverflowError):
        return False
