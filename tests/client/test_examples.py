"""docs/examples: each program is built as its first lines say, and borrows from a real memd on a private bus."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bus.buses import dbus_daemon
from tests.bus.daemon import running

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
SIZE = "65536"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("memd")
    with dbus_daemon(place) as bus, running(bus.address, place):
        yield bus.address


def run(address: str, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def sdbus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built by the line in its head comment, with the warnings that C has."""
    source = EXAMPLES / "borrow-sdbus.c"
    line = next(line for line in source.read_text().splitlines() if " cc -o " in line).strip(" *")
    out = tmp_path_factory.mktemp("sdbus")
    shutil.copy(source, out)
    subprocess.run(line.replace("cc ", "cc -Wall -Wextra -Werror ", 1), shell=True, cwd=out, check=True)
    return str(out / "borrow-sdbus")


def test_sd_bus(address: str, sdbus: str) -> None:
    done = run(address, sdbus, "simulated", SIZE)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("buffer ")
    assert done.stdout.endswith(": hello\n")


def test_sd_bus_refused(address: str, sdbus: str) -> None:
    done = run(address, sdbus, "nowhere", SIZE)

    assert done.returncode == 1
    assert done.stderr.startswith("org.memd1.Error.NoSuchHeap: ")


def test_glib(address: str) -> None:
    """Debian's own Python, which has python3-gi."""
    done = run(address, "/usr/bin/python3", str(EXAMPLES / "borrow-glib.py"), "simulated", SIZE)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(": hello\n")


def test_glib_refused(address: str) -> None:
    done = run(address, "/usr/bin/python3", str(EXAMPLES / "borrow-glib.py"), "nowhere", SIZE)

    assert done.returncode == 1
    assert done.stderr.startswith("org.memd1.Error.NoSuchHeap: ")
