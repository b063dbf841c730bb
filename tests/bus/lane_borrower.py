"""A client of test_lane, in a process of its own: borrows over a lane, several requests at once, and checks that each buffer is its own."""

from __future__ import annotations

import os
import socket
import sys

from memd import lanewire
from tests.bus.far import receive
from tests.bus.raw import Raw
from tests.bus.test_lane import close, open_lane

WINDOW = 8


def batch(lane: socket.socket, name: str, many: int) -> int:
    """Tokens are all written before the first is read, so that a buffer given twice is seen."""
    for serial in range(WINDOW):
        lane.send(lanewire.request(serial, "simulated", (4096,) * many))
    tokens: dict[int, bytes] = {}
    for _ in range(WINDOW):
        data, fds = receive(lane)
        _, _, buffers, error = lanewire.parse_reply(data)
        assert error is None, error
        tokens |= {fd: f"{name} {number}".encode() for fd, (number, _) in zip(fds, buffers, strict=True)}
    for fd, token in tokens.items():
        assert os.pread(fd, 64, 0) == bytes(64), "somebody's data is in a fresh buffer"
        os.pwrite(fd, token, 0)
    assert all(os.pread(fd, len(token) + 1, 0) == token + b"\0" for fd, token in tokens.items())
    close(list(tokens))
    return len(tokens)


def main(address: str, name: str, count: int, many: int) -> None:
    with Raw.connect(address) as client, open_lane(client) as lane:
        before = len(os.listdir("/proc/self/fd"))
        done = 0
        while done < count:
            done += batch(lane, name, many)
        assert len(os.listdir("/proc/self/fd")) == before, "fds are left"
    print(done)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
