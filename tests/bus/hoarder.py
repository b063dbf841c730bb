"""An unprivileged client that takes fds and reads nothing, in a process of its own: tests/bus/test_stall.py says what of it.

Drops root first. Prints what it got done, then keeps it all until its standard input ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from memd.bus.library import load
from tests.bus.daemon import target
from tests.bus.raw import BUS, BUS_PATH, NO_REPLY, Raw, memfds

NOBODY = 65534


def become_nobody() -> None:
    load("dbus_fast")  # from a home that nobody else may look into
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def connect(address: str) -> Raw:
    """With a small socket buffer, so that it is soon full."""
    client = Raw.connect(address)
    client.sock.setblocking(False)
    return client


def fill(client: Raw, count: int = 120) -> None:
    """Its own socket, with answers of the bus that it does not read."""
    for _ in range(count):
        client.start(BUS, BUS_PATH, "org.freedesktop.DBus.Introspectable", "Introspect")


def send(client: Raw, data: bytes, fds: Sequence[int] = ()) -> bool:
    """False if the bus takes no more."""
    try:
        client.send(data, fds)
    except BlockingIOError:
        return False
    return True


def unread(address: str, count: int) -> list[Raw]:
    """`count` buffers asked for by each of two connections, and no reply read."""
    clients = [connect(address) for _ in range(2)]
    for client in clients:
        fill(client)
        for _ in range(count):
            destination, path, interface, member = target("Allocate")
            _, data = client.message(
                destination=destination, path=path, interface=interface, member=member, signature="sta{sv}",
                body=["simulated", 4096, {}],
            )  # fmt: skip
            if not send(client, data):
                break
    return clients


def pinned(address: str, count: int) -> list[Raw]:
    """Fds sent from one connection to another that does not read, 16 in a message."""
    near, far = connect(address), connect(address)
    fill(far)
    near.sock.setblocking(True)
    near.sock.settimeout(1)
    with memfds(16) as mine:
        _, data = near.message(
            kind=4, flags=NO_REPLY, destination=far.name, path="/a", interface="a.b", member="C", signature="h",
            body=[0], unix_fds=mine,
        )  # fmt: skip
        try:
            for _ in range(count // 16):
                near.send(data, mine)
        except (TimeoutError, BrokenPipeError):
            pass
    return [near, far]


def main() -> None:
    what, address, count = sys.argv[1:]
    become_nobody()
    kept = {"unread": unread, "pinned": pinned}[what](address, int(count))
    print(len(kept), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
