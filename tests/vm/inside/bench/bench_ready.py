"""From exec to READY=1: memd as its package starts it, and the least that asyncio and dbus-next need to own a name."""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import peers
import people

ADDRESS = "unix:path=/run/dbus/system_bus_socket"
BARE = ["/usr/bin/python3", "-IS", "-c"]
# As memd's launcher finds its modules.
CODE = "import sys; sys.path += ['/usr/lib/python3/dist-packages', '/opt/memd-tests']; import bare"
COMMANDS = {"memd": ["/usr/bin/memd"], "bare": [*BARE, CODE, ADDRESS]}
ROUNDS = 9


def bench_ready(row: Callable[..., None], tmp_path: Path) -> None:
    """Swap is on already, as memd-swap.service leaves it: memd adopts it."""
    people.output("systemctl", "stop", "memd")
    try:
        found: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for number in range(ROUNDS + 1):
            for name, command in COMMANDS.items():
                took = once(command, tmp_path / "notify")
                found[name] += [took] if number else []  # the first fills caches
    finally:
        people.output("systemctl", "start", "memd")
    row("exec to READY", "bare asyncio and dbus-next", found["memd"], found["bare"])
    row("exec to READY of memd", "seconds", found["memd"])


def once(command: list[str], where: Path) -> float:
    """Seconds."""
    environment = {**os.environ, "NOTIFY_SOCKET": str(where), "NAME": "org.memd1"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(where))
        notify.settimeout(120)
        began = time.perf_counter()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            return time.perf_counter() - began
        finally:
            process.terminate()
            process.wait(60)
            where.unlink()
            peers.settle(0.5)
