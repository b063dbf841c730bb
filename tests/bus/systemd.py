"""memd started as systemd would: with $NOTIFY_SOCKET, and with what its fd store has. Run as a program: exec with fds from 3 on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bus.daemon import CONFIG, REPOSITORY, call
from tests.bus.raw import Raw, until
from tests.service.fdstores import FakeSystemd

FREE = 200  # above any fd that a test has


class Unit:
    """memd.service in small: `start`, `kill`, and what the daemon says."""

    def __init__(self, address: str, directory: Path) -> None:
        self.address, self._directory = address, directory
        self.systemd = FakeSystemd(directory)
        self.log = directory / "memd.log"
        (directory / "memd.conf").write_text(CONFIG)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        kept = self.systemd.kept()
        command = [sys.executable, "-m", "tests.bus.systemd", ":".join(one.name for one in kept)]
        command += [str(one.fd) for one in kept] + ["--"]
        command += [sys.executable, "-m", "memd", "--bus", self.address, "--simulate"]
        command += ["--config", str(self._directory / "memd.conf")]
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(
                command,
                stderr=stderr,
                cwd=REPOSITORY,
                env={**os.environ, "NOTIFY_SOCKET": self.systemd.address},
                pass_fds=[one.fd for one in kept],
            )
        with Raw.connect(self.address) as client:
            assert until(lambda: client.call_bus("NameHasOwner", "s", ["org.memd1"]).body[0]), self.log.read_text()

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()
        self.systemd.close()


def listing(client: Raw) -> list[dict[str, object]]:
    """All of ListBuffers, but the pages."""
    [rows, info] = call(client, "ListBuffers").body
    assert not info
    return [{key: variant.value for key, variant in row.items()} for row in rows]


def main(names: str, arguments: list[str]) -> None:
    end = arguments.index("--")
    fds = [os.dup2(int(fd), FREE + at) for at, fd in enumerate(arguments[:end])]
    for at, fd in enumerate(fds):
        os.dup2(fd, 3 + at)
    os.closerange(3 + len(fds), FREE + len(fds))
    if fds:
        os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": names}
    command = arguments[end + 1 :]
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
