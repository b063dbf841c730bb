"""What it costs to start and to be there: PSS of an idle memd, exec to READY, `memctl status`, and which import costs what, by room."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.bench import tools
from tests.bench.tools import REPOSITORY, SITE, Ratio
from tests.bus.buses import dbus_daemon
from tests.bus.daemon import CONFIG

PYTHON = [sys.executable, "-I", "-S", "-c"]
PATHS = f"import sys; sys.path += [{str(REPOSITORY)!r}, {SITE!r}]; "
MEMD = PATHS + "from memd.main import main; sys.exit(main(sys.argv[1:]))"
MEMCTL = PATHS + "from memd.cli.entry import main; sys.exit(main(sys.argv[1:]))"
BARE = PATHS + f"sys.path.append({str(tools.HERE)!r}); import bare"
ROOMS = ("early", "kernel", "policy", "service", "bus", "config", "asyncio", "dbus_next", "the rest of Python")


def status(rounds: int) -> dict[str, Ratio]:
    """`memctl status` and `busctl call` of the same method, from exec to exit."""
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory, tools.memd(Path(directory)) as daemon:
        method = ["org.memd1", "/org/memd1", "org.memd1.Manager", "GetStatus", "a{sv}", "0"]
        commands = {
            "memctl": [*PYTHON, MEMCTL, "--bus", daemon.address, "status"],
            "busctl": ["busctl", f"--address={daemon.address}", "call", *method],
        }
        for number in range(rounds):
            tools.say(f"memctl status: round {number + 1} of {rounds}")
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                found[name].append(time.perf_counter() - began)
    return {"memctl status / busctl call": tools.ratio(found["memctl"], found["busctl"])}


def ready(rounds: int) -> dict[str, Ratio]:
    """From exec to READY=1, and PSS two seconds later: memd, all features on, and the bare program."""
    seconds: dict[str, list[float]] = defaultdict(list)
    pss: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory, dbus_daemon(Path(directory), tools.OPEN) as bus:
        config = Path(directory) / "memd.conf"
        config.write_text(CONFIG)
        commands = {
            "memd": [*PYTHON, MEMD, "--bus", bus.address, "--simulate", "--config", str(config)],
            "bare": [*PYTHON, BARE, bus.address],
        }
        for number in range(rounds):
            tools.say(f"start: round {number + 1} of {rounds}")
            for name, command in commands.items():
                took, size = _once(command, Path(directory))
                seconds[name].append(took)
                pss[name].append(size)
    return {
        "exec to READY / bare asyncio and dbus-next": tools.ratio(seconds["memd"], seconds["bare"]),
        "idle PSS / bare asyncio and dbus-next": tools.ratio(pss["memd"], pss["bare"]),
        "MB: idle PSS of memd": Ratio(*(min(pss["memd"]),) * 3),
    }


def _once(command: list[str], directory: Path) -> tuple[float, float]:
    """(seconds to READY=1, MB of PSS after two more)."""
    where = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(where))
        notify.settimeout(60)
        began = time.perf_counter()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "NOTIFY_SOCKET": str(where)})
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            took = time.perf_counter() - began
            time.sleep(2)
            return took, _pss(process.pid)
        finally:
            process.terminate()
            process.wait(20)
            where.unlink()


def _pss(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("\nPss:")[1].split()[0]) / 1000


def imports() -> dict[str, tuple[float, int]]:
    """Room -> (ms, modules) of what a start imports, by -X importtime: each module's own time."""
    with tempfile.TemporaryDirectory() as directory, dbus_daemon(Path(directory), tools.OPEN) as bus:
        config = Path(directory) / "memd.conf"
        config.write_text(CONFIG)
        words = ["--bus", bus.address, "--simulate", "--config", str(config)]
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", *PYTHON[1:], MEMD, *words], stderr=subprocess.PIPE, text=True
        )
        time.sleep(5)
        process.terminate()
        _, text = process.communicate(timeout=20)
    rooms: dict[str, tuple[float, int]] = dict.fromkeys(ROOMS, (0.0, 0))
    for line in text.splitlines():
        if line.startswith("import time:") and line.count("|") == 2 and "self" not in line:
            own, _, name = line.removeprefix("import time:").split("|")
            room = _room(name.strip())
            rooms[room] = (rooms[room][0] + int(own) / 1000, rooms[room][1] + 1)
    return rooms


def _room(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "memd":
        second = parts[1] if len(parts) > 1 else ""
        if second in ("kernel", "policy", "service", "bus"):
            return second
        return "config" if second.startswith("config_") or second == "config" else "early"
    return parts[0] if parts[0] in ("asyncio", "dbus_next") else "the rest of Python"
