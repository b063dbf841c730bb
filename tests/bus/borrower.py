"""A client of test_allocations, in a process of its own: borrows in batches, writes a token into each buffer, and checks them all."""

from __future__ import annotations

import os
import sys

from tests.bus.daemon import target
from tests.bus.raw import Raw, Reply

BATCH = 48


def replies(client: Raw, count: int, many: int) -> list[Reply]:
    """`count` buffers, one to a call, or `many`."""
    for _ in range(count // many):
        if many > 1:
            client.start(*target("AllocateMany"), "sata{sv}", ["simulated", [4096] * many, {}])
        else:
            client.start(*target("Allocate"), "sta{sv}", ["simulated", 4096, {}])
    return list(client.replies(count // many))


def borrow(client: Raw, name: str, count: int, many: int) -> int:
    """Tokens are all written before the first is read, so that a buffer given twice is seen."""
    batch = replies(client, count, many)
    fds = [fd for reply in batch for fd in reply.fds]
    assert len(fds) == count, batch
    numbers = [number for reply in batch for number in (reply.body[1] if many > 1 else [reply.body[1]])]
    tokens = [f"{name} {number}".encode() for number in numbers]
    for fd, token in zip(fds, tokens, strict=True):
        assert os.pread(fd, 64, 0) == bytes(64), "somebody's data is in a fresh buffer"
        os.pwrite(fd, token, 0)
    for fd, token in zip(fds, tokens, strict=True):
        assert os.pread(fd, len(token) + 1, 0) == token + b"\0"
    for reply in batch:
        reply.close()
    return len(fds)


def main(address: str, name: str, count: int, many: int) -> None:
    with Raw.connect(address) as client:
        before = len(os.listdir("/proc/self/fd"))
        done = 0
        while done < count:
            done += borrow(client, name, BATCH, many)
        assert len(os.listdir("/proc/self/fd")) == before, "fds are left"
    print(done)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
