"""An unprivileged client that fills its own socket, asks for many buffers, and reads nothing of it: hoard.py COUNT. Prints `hoarded`, then
keeps it all until it is killed."""

import contextlib
import itertools
import os
import signal
import socket
import sys

from dbus_next.message import Message

BUS, PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_serials = itertools.count(1)


def send(sock: socket.socket, destination: str, path: str, interface: str, member: str, *body: object) -> None:
    """One call; its reply is nobody's concern."""
    signature = "sta{sv}" if body else ""
    message = Message(
        destination, path, interface, member, signature=signature, body=list(body), serial=next(_serials)
    )
    sock.sendall(message._marshall())


def main() -> None:
    """Connect, and never read from then on."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect("/run/dbus/system_bus_socket")
    uid = str(os.getuid()).encode().hex()
    sock.sendall(f"\0AUTH EXTERNAL {uid}\r\n".encode())
    assert sock.recv(100).startswith(b"OK")
    sock.sendall(b"NEGOTIATE_UNIX_FD\r\n")
    assert sock.recv(100).startswith(b"AGREE")
    sock.sendall(b"BEGIN\r\n")
    send(sock, BUS, PATH, BUS, "Hello")
    sock.recv(1000)
    sock.settimeout(5)
    with contextlib.suppress(TimeoutError):  # the bus takes no more
        for _ in range(120):
            send(sock, BUS, PATH, "org.freedesktop.DBus.Introspectable", "Introspect")
        for _ in range(int(sys.argv[1])):
            send(sock, "org.memd1", "/org/memd1", "org.memd1.Manager", "Allocate", "system", 4096, {})
    print("hoarded", flush=True)
    signal.pause()


main()
