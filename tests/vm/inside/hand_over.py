"""Borrow a buffer, write a token into it, hand it to another process, and let that one check what it sees. Run by the member."""

import os
import socket
import subprocess
import sys

from memd.client import DmaBuf, Memd

SIZE = 1 << 20
TOKEN = os.urandom(64) * (SIZE // 64)


def lend() -> None:
    """The first process: allocate, fill, pass on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Memd() as memd, memd.allocate("system", SIZE, name="handed") as buffer:
        assert buffer.heap == "system"
        with buffer.mmap() as memory, buffer.sync_write():
            assert memory[:] == bytes(SIZE)
            memory[:] = TOKEN
        socket.send_fds(ours, [TOKEN[:64]], [buffer.fileno()])
    # from here on the buffer lives in the socket alone
    done = subprocess.run([sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    sys.exit(done.returncode)


def receive(fd: int) -> None:
    """The second process: what came must be what was written."""
    with socket.socket(fileno=fd) as sock:
        token, fds, _, _ = socket.recv_fds(sock, 64, 1)
    with DmaBuf(fds[0], 0, "system", SIZE) as buffer, buffer.mmap() as memory, buffer.sync_read():
        assert memory[:] == token * (SIZE // 64)
    print("handed over")


if __name__ == "__main__":
    receive(int(sys.argv[1])) if len(sys.argv) > 1 else lend()
