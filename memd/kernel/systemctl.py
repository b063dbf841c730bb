"""What systemd says of a unit: systemctl(1) show. For memctl: the daemon asks nobody."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

PATIENCE = 10.0


def show(unit: str, properties: Iterable[str]) -> dict[str, str] | None:
    """Properties by name; one that this systemd does not know is absent. None where systemd is not there, or does not answer."""
    program = shutil.which("systemctl")
    if program is None:
        return None
    command = [program, "show", "--no-pager", "-p", ",".join(properties), "--", unit]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    pairs = (line.partition("=") for line in done.stdout.splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}
