"""Borrowers as units of systemd: of the system's own, and of a user's own manager; and who memd charges for what they have."""

import contextlib
import json
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import people
from people import output

UNIT = "memd-test-camera.service"
BORROW = ["memctl", "alloc", "system", "1M", "--", "memctl", "buffers", "--json"]
# What libpam-systemd would say where it is installed; the emulated machines have it from the start.
MANAGERS = Path("/etc/systemd/system/user@.service.d/memd-test.conf")


def uid(user: str) -> int:
    return pwd.getpwnam(user).pw_uid


def service(*command: str, **properties: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the system's own memd-test-camera.service."""
    told = [word for key, value in properties.items() for word in ("-p", f"{key}={value}")]
    words = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={UNIT}", *told, "--", *command]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def charged(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The owners of what BORROW showed."""
    assert done.returncode == 0, done.stderr
    return [row["owner"] for row in json.loads(done.stdout)]


@contextlib.contextmanager
def manager(user: str) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """A user's own manager, that runs commands as its memd-test-camera.service."""
    ours = not MANAGERS.exists()
    if ours:
        MANAGERS.parent.mkdir(parents=True, exist_ok=True)
        MANAGERS.write_text("[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n")
        output("systemctl", "daemon-reload")
    number = uid(user)
    output("systemctl", "start", f"user@{number}.service")
    try:
        yield lambda *command: _run(user, number, command)
    finally:
        output("systemctl", "stop", f"user@{number}.service")
        if ours:
            MANAGERS.unlink()
            output("systemctl", "daemon-reload")


def _run(user: str, number: int, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    runtime = Path(f"/run/user/{number}")
    units = runtime / "systemd/user"
    units.mkdir(parents=True, exist_ok=True)
    streams = f"StandardOutput=truncate:{runtime}/out\nStandardError=truncate:{runtime}/err\n"
    (units / UNIT).write_text(f"[Service]\nType=oneshot\n{streams}ExecStart={' '.join(command)}\n")
    for path in (units.parent, units, units / UNIT):
        os.chown(path, number, number)
    words = ["env", f"XDG_RUNTIME_DIR={runtime}", "systemctl", "--user"]
    people.run(user, *words, "daemon-reload")
    done = people.run(user, *words, "start", UNIT)
    out, err = (runtime / name for name in ("out", "err"))
    assert out.exists(), done.stderr
    return subprocess.CompletedProcess(words, done.returncode, out.read_text(), err.read_text())
