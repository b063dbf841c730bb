"""systemd's fd store: fds that outlive the process. Documents: sd_notify(3), sd_listen_fds(3), systemd.service(5); FDPOLL= since 246.

Facts that bite:
- a message is a datagram with the fd in it: once it is sent it is safe, whatever becomes of the sender, because systemd reads what is
  queued before it reaps; nobody answers, so a store that is full (FileDescriptorStoreMax=) drops the fd in silence;
- without FDPOLL=0 systemd polls what it keeps, and throws away what is ready or broken;
- systemd keeps an fd once, and tells two apart by kcmp(2): on a kernel without CONFIG_KCMP all epoll sets look the same to it;
- the store stays when fds are passed at a start; below 254 it is gone once the unit has stopped, and lives through restarts only;
- fds are passed from 3 on without close-on-exec, and their variables are inherited too.

The early path reads what was passed before it starts a program, hence no import of socket up here.
"""

from __future__ import annotations

import os

from memd.early import Noun

START = 3  # SD_LISTEN_FDS_START
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
PATIENCE = 2.0
KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "armv7l": 378}
MOST = 4096  # fds: more are nobody's store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Stored(Noun):
    """An fd that systemd passed, and the name that it was kept under."""

    name: str
    fd: int


def tells_apart() -> bool:
    """Whether systemd can tell two fds of one kind from each other here: kcmp(2) as it uses it."""
    import ctypes
    import errno
    import platform

    number = KCMP.get(platform.machine())
    if number is None:
        return True  # not known to be lacking
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(number, os.getpid(), os.getpid(), 0, 0, 0) >= 0 or ctypes.get_errno() != errno.ENOSYS


def receive(environ: MutableMapping[str, str] = os.environ) -> tuple[Stored, ...]:
    """What systemd passes at this start, close-on-exec from here on; the caller owns the fds.

    Empty if the variables are those of another process, or nonsense; fds that are not open are left out.
    """
    values = {name: environ.pop(name, "") for name in VARIABLES}
    count = values["LISTEN_FDS"]
    if values["LISTEN_PID"] != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return ()
    names = values["LISTEN_FDNAMES"].split(":")
    if len(names) != int(count):
        names = ["unknown"] * min(int(count), MOST)
    found = []
    for fd, name in enumerate(names, START):
        try:
            os.set_inheritable(fd, False)  # noqa: FBT003 (os has no other way to say it)
        except OSError:
            break
        found.append(Stored(name=name, fd=fd))
    return tuple(found)


class FdStore:
    """Where $NOTIFY_SOCKET is, if anywhere."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    @property
    def there(self) -> bool:
        return bool(self._address)

    def keep(self, name: str, fd: int) -> None:
        """A copy of `fd` outlives this process. `name`: printable ASCII without a colon, at most 255.

        Blocks until systemd has room for the message, at most PATIENCE: OSError then.
        """
        self._send(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", [fd], PATIENCE)

    def drop(self, name: str) -> None:
        """Every fd of that name. Never blocks: OSError if systemd has no room for the message."""
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}", [], 0)

    def _send(self, text: str, fds: list[int], patience: float) -> None:
        if not self._address:
            return
        import socket

        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(patience)
            try:
                sock.connect(address)
                if fds:
                    socket.send_fds(sock, [text.encode("ascii")], fds)
                else:
                    sock.send(text.encode("ascii"))
            except OSError as error:
                error.filename = self._address
                raise
