"""Owners as processes of ours: each borrows, maps, passes on, closes and dies as it is told, in the slice of a user of its own."""

import json
import os
import signal
import socket
import traceback
from pathlib import Path
from typing import Any

import holders

from memd.client import Memd
from memd.errors import MemdError

CGROUPS = Path("/sys/fs/cgroup/user.slice")


class Borrower:
    """A process that is charged as `uid:UID`, with or without a bus that tells processes."""

    def __init__(self, uid: int) -> None:
        self.uid, self.owner = uid, f"uid:{uid}"
        self._pid = 0
        self._socket: socket.socket | None = None
        self._start()

    def ask(self, word: str, *arguments: object, fd: int | None = None) -> tuple[Any, int | None]:
        """Its answer, and the fd that came with it. RuntimeError with the name of a refusal."""
        assert self._socket
        request = json.dumps([word, *arguments]).encode()
        socket.send_fds(self._socket, [request], [] if fd is None else [fd])
        data, fds, _, _ = socket.recv_fds(self._socket, 1 << 16, 1)
        answer = json.loads(data)
        if isinstance(answer, dict):
            raise RuntimeError(answer["error"])
        return answer, fds[0] if fds else None

    def crash(self) -> None:
        """SIGKILL; another one of the same uid begins with nothing."""
        self.end()
        self._start()

    def end(self) -> None:
        """SIGKILL, and no other one."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        assert self._socket
        self._socket.close()
        self._group().rmdir()

    def _group(self) -> Path:
        return CGROUPS / f"user-{self.uid}.slice/memd-test-{self._pid}.scope"

    def _start(self) -> None:
        ours, theirs = holders.pair()
        self._pid = os.fork()
        if not self._pid:
            try:
                os.closerange(3, theirs.fileno())  # what others of ours hold is not to be held here too
                os.closerange(theirs.fileno() + 1, 1 << 16)
                _enter(CGROUPS / f"user-{self.uid}.slice/memd-test-{os.getpid()}.scope", self.uid)
                _serve(theirs)
            finally:
                os.write(2, traceback.format_exc().encode())  # sys.stderr is pytest's, and closed here
                os._exit(1)
        theirs.close()
        self._socket = ours
        self.ask("hello")


def _enter(group: Path, uid: int) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "cgroup.procs").write_text(str(os.getpid()))
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def _serve(sock: socket.socket) -> None:
    fds: dict[int, int] = {}  # one for each buffer
    maps: dict[int, tuple[int, int]] = {}
    memd = Memd()
    while True:
        data, received, _, _ = socket.recv_fds(sock, 1 << 16, 1)
        answer: object = True
        sent: list[int] = []
        match json.loads(data):
            case ["allocate", heap, size]:
                try:
                    buffer = memd.allocate(heap, size)
                except MemdError as error:
                    answer = {"error": type(error).__name__}
                else:
                    fds[buffer.id] = buffer.detach()
                    answer = buffer.id
            case ["take", number]:
                fds[number] = received[0]
            case ["give", number]:
                sent = [fds[number]]
            case ["map", number]:
                maps[number] = holders.map_only(fds[number])
            case ["unmap", number]:
                holders.unmap(*maps.pop(number))
            case ["close", number]:
                os.close(fds.pop(number))
            case ["again"]:
                memd.close()
                memd = Memd()
            case ["hello"]:
                pass
        socket.send_fds(sock, [json.dumps(answer).encode()], sent)
