"""Those who can act on pressure, under the installed memd.service: its second name, its sockets, its units, its fds, at a real stall."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import people
import pytest
from people import output

pytestmark = pytest.mark.needs("psi")
HERE = Path(__file__).parent
NAME = "org.freedesktop.LowMemoryMonitor"
DROP_IN = Path("/etc/memd/memd.conf.d/90-listeners.conf")
HOOK = Path("/run/systemd/system/memd-test-hook.service")
WATCHER = Path("/run/systemd/system/memd-test-watcher.service")
STARTED = Path("/run/memd-test-hook")


@pytest.fixture
def hooked() -> Iterator[None]:
    """A unit of ours is started when pressure comes."""
    HOOK.write_text(f"[Service]\nType=oneshot\nExecStart=touch {STARTED}\n")
    DROP_IN.parent.mkdir(exist_ok=True, parents=True)
    DROP_IN.write_text("[Pressure]\nLow=some 20ms 1s\nRelief=2s\nLowUnit=memd-test-hook.service\n")
    output("systemctl", "daemon-reload")
    output("systemctl", "reload", "memd")
    yield
    for path in (DROP_IN, HOOK, WATCHER, STARTED):
        path.unlink(missing_ok=True)
    output("systemctl", "daemon-reload")
    output("systemctl", "reload", "memd")


def stalling() -> subprocess.Popen[bytes]:
    thrash = ["systemd-run", "--wait", "--quiet", "--collect", "-p", "MemoryMax=32M", "-p", "MemorySwapMax=32M"]
    return subprocess.Popen(
        [*thrash, "-p", "RuntimeMaxSec=40", sys.executable, HERE / "thrash.py", str(48 << 20), "30"]
    )


def wait(what: str, condition: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.1)


@pytest.mark.timeout(150)
def test_everybody_hears_a_stall(hooked: None, tmp_path: Path) -> None:
    people.calm()
    environment = {**os.environ, "GIO_USE_MEMORY_MONITOR": "dbus"}
    script = (
        "from gi.repository import Gio, GLib; m = Gio.MemoryMonitor.dup_default(); "
        "m.connect('low-memory-warning', lambda _, level: print(type(m).__gtype__.name, int(level), flush=True)); "
        "GLib.MainLoop().run()"
    )
    fd_script = (
        "from memd.client.blocking import Memd; end, level = Memd().open_pressure_fd('low'); print(level, flush=True)\n"
        "while told := end.recv(1): print(told[0], flush=True)"
    )
    glib_out, fd_out = tmp_path / "glib", tmp_path / "fd"
    with glib_out.open("w") as glib_file, fd_out.open("w") as fd_file:
        glib = subprocess.Popen([sys.executable, "-c", script], stdout=glib_file, env=environment)
        fds = subprocess.Popen([sys.executable, "-c", fd_script], stdout=fd_file)
    watch = socket.socket(socket.AF_UNIX)
    watch.connect("/run/memd/pressure/low")
    watch.settimeout(30)
    wait("an fd for pressure", fd_out.read_text)
    time.sleep(1)
    stall = stalling()
    try:
        assert watch.recv(100), "a byte on the socket for $MEMORY_PRESSURE_WATCH"
        wait("a LowMemoryWarning", lambda: "GMemoryMonitorDBus" in glib_out.read_text())
        wait("a byte on the fd", lambda: len(fd_out.read_text().split()) > 1)
        wait("the unit that systemd started", STARTED.exists)
    finally:
        subprocess.run(["systemctl", "stop", "run-*.service"])
        stall.wait()
        watch.close()
    wait("relief on the fd", lambda: fd_out.read_text().split()[-1] == "0", 60)
    for process in (glib, fds):
        process.kill()
        process.wait()
    assert people.journal("MEMD_UNIT=memd-test-hook.service")


def test_the_name_belongs_to_memd_from_the_start() -> None:
    owner = output("busctl", "--system", "status", NAME)
    assert f"PID={output('systemctl', 'show', '-P', 'MainPID', 'memd')}" in owner.replace(" ", "")


def test_a_stranger_may_connect_and_may_not_have_the_name(users: None) -> None:
    connect = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/memd/pressure/critical'); print('in')"
    assert output("setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", connect).strip() == "in"
    take = ["setpriv", "--reuid=65534", "--clear-groups", "busctl", "--system", "call", "org.freedesktop.DBus",
            "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su", NAME, "0"]  # fmt: skip
    assert subprocess.run(take, capture_output=True).returncode != 0


@pytest.mark.needs("systemd-254")
def test_a_service_is_turned_to_memd() -> None:
    """The two lines of docs/pressure.md: the variable is memd's, and no leftover says what to write."""
    for extra, gone in (("MemoryPressureWatch=off", True), ("MemoryPressureWatch=on", False)):
        environment = output(
            "systemd-run", "--pipe", "--wait", "--quiet", "-p", extra,
            "-E", "MEMORY_PRESSURE_WATCH=/run/memd/pressure/medium", "env",
        )  # fmt: skip
        assert "MEMORY_PRESSURE_WATCH=/run/memd/pressure/medium" in environment.splitlines()
        assert ("MEMORY_PRESSURE_WRITE" not in environment) is gone


@pytest.mark.long
@pytest.mark.timeout(150)
def test_a_unit_has_its_own_level_and_its_cgroup_may_go() -> None:
    """A service stalls, its level is told; it ends with its cgroup, the level comes down, and the next one is watched again."""
    DROP_IN.parent.mkdir(exist_ok=True, parents=True)
    DROP_IN.write_text("[Pressure memd-stalled.service]\nLow=some 20ms 1s\nRelief=2s\n")
    output("systemctl", "reload", "memd")
    try:
        for _ in range(2):
            people.calm()
            stall = subprocess.Popen(
                ["systemd-run", "--wait", "--quiet", "--collect", "--unit=memd-stalled", "-p", "MemoryMax=32M",
                 "-p", "MemorySwapMax=32M", sys.executable, HERE / "thrash.py", str(48 << 20), "30"]
            )  # fmt: skip
            wait("a level of the unit", lambda: unit_level() != "none")
            subprocess.run(["systemctl", "stop", "memd-stalled"])
            stall.wait()
            wait("relief of the unit", lambda: unit_level() == "none", 60)
    finally:
        DROP_IN.unlink()
        output("systemctl", "reload", "memd")
    told = people.journal("MEMD_UNIT=memd-stalled.service", "MEMD_PREVIOUS=none")
    assert len(told) >= 2
    assert people.status()["unit_pressure"] == []


def unit_level() -> str:
    (unit,) = people.status()["unit_pressure"]
    return str(unit["level"])
