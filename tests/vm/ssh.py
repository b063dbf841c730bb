"""A way into an emulated machine by ssh: a key of this run, a port of the host's loopback, an sshd that is started for it."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import qemu
from machines import Machine
from say import StepFailed, say, tail

TOLD = "systemd.wants=ssh.service"
HOST = "root@127.0.0.1"


@dataclass(frozen=True, slots=True)
class Access:
    """How to come in: the ssh command with its options, the port of the host, the files that the image needs."""

    command: list[str]
    port: int
    overlay: Path


def access(work: Path) -> Access:
    """A fresh key and a port that was free a moment ago."""
    key, overlay = work / "key", work / "ssh"
    (overlay / "root/.ssh").mkdir(parents=True, mode=0o700)
    (overlay / "opt/memd-tests").mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (overlay / "root/.ssh/authorized_keys").write_text(key.with_suffix(".pub").read_text())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options = ["-q", "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=60"]
    return Access(["ssh", "-i", str(key), "-p", str(port), *options], port, overlay)


@contextlib.contextmanager
def emulated_board(machine: Machine, kernel: Path, image: Path, entry: Access, work: Path) -> Iterator[None]:
    """A booted machine that answers ssh, for as long as the block lasts."""
    nic, told = qemu.network(entry.port)
    words = qemu.command(machine, kernel, image, work, f"{told} {TOLD}")
    with (work / "qemu").open("w") as log:
        process = subprocess.Popen(
            [*words, *nic, "-serial", f"file:{work}/serial"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            _wait(process, entry, work)
            yield
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], entry: Access, work: Path) -> None:
    say("wait for the emulated board's sshd")
    deadline = time.monotonic() + 300
    while subprocess.run([*entry.command, HOST, "true"], stdin=subprocess.DEVNULL).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            msg = f"no ssh:\n{tail(work / 'qemu')}\n{tail(work / 'serial')}"
            raise StepFailed(msg)
        time.sleep(1)
