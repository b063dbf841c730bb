"""memd's real process on a private bus, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bus.raw import Raw, Reply, until
from tests.swapsettings import KEEP

REPOSITORY = Path(__file__).parents[2]
# The pressure of the machine that runs the tests is nobody's business here, nor is its swap.
CONFIG = f"""
[Zram]
Enabled=no
{KEEP}[Lending]
MaxBuffers=100000
MaxBuffersPerOwner=100000
[Allow tests]
User={os.geteuid()}
Heaps=simulated
ExemptFromPressure=yes
Priority=1
"""
LIBRARY: dict[str, list[str]] = {"dbus_next": [], "dbus_fast": ["--fast"]}


@dataclass
class Daemon:
    """A memd that owns its name; `log` is its stderr."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def fds(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def peak(self) -> int:
        """The most resident bytes since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def client(self) -> Raw:
        return Raw.connect(self.address)

    def settles_at(self, fds: int) -> bool:
        """Whether it is back to so many fds, soon."""
        return until(lambda: self.fds() <= fds)


def call(client: Raw, member: str, signature: str = "a{sv}", *body: object, flags: int = 0) -> Reply:
    return client.call(*target(member), signature, list(body) or [{}], flags=flags)


def target(member: str) -> tuple[str, str, str, str]:
    return "org.memd1", "/org/memd1", "org.memd1.Manager", member


@contextlib.contextmanager
def running(
    address: str, directory: Path, library: str = "dbus_next", *options: str, config: str = CONFIG
) -> Iterator[Daemon]:
    """memd with --simulate, from its exec to its end: by SIGTERM with status 0, unless the test sees to another. `options`: its own."""
    (directory / "memd.conf").write_text(config)
    log = directory / "memd.log"
    command = [sys.executable, "-m", "memd", *LIBRARY[library], "--bus", address, "--simulate", *options]
    with log.open("wb") as stderr:
        process = subprocess.Popen([*command, "--config", str(directory / "memd.conf")], stderr=stderr, cwd=REPOSITORY)
    try:
        with Raw.connect(address) as client:
            owned = until(
                lambda: process.poll() is not None or client.call_bus("NameHasOwner", "s", ["org.memd1"]).body[0]
            )
        assert owned
        assert process.poll() is None
        yield Daemon(address, process, log)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    except BaseException:
        print(log.read_text())
        raise
    finally:
        process.kill()
        process.wait()
