"""Private buses, both libraries, and nothing of the loop's left behind by a test of this room."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from memd.bus.library import Library, load
from tests.bus.buses import BUSES, Bus, dbus_broker, dbus_daemon
from tests.bus.daemon import Daemon, running

LIBRARIES = ("dbus_next", "dbus_fast")


@pytest.fixture(autouse=True, scope="session")
def small_heap() -> None:
    """Every test ends with a gc.collect(), which need not look at pytest itself each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
async def settled(no_task_left: None) -> None:
    """Every test here runs in a loop, and leaves no task in it."""


@pytest.fixture(params=sorted(BUSES))
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    """dbus-daemon and dbus-broker."""
    with BUSES[request.param](tmp_path) as running:
        yield running


@pytest.fixture
def daemon_bus(tmp_path: Path) -> Iterator[Bus]:
    """dbus-daemon alone, where the other bus would add nothing."""
    with dbus_daemon(tmp_path) as running:
        yield running


@pytest.fixture
def broker_bus(tmp_path: Path) -> Iterator[Bus]:
    """dbus-broker alone, which lets a client have what dbus-daemon does not."""
    with dbus_broker(tmp_path) as running_bus:
        yield running_bus


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that other users can look into, as pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="memd-bus-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def steady(place: Path) -> Iterator[Daemon]:
    """One memd on dbus-daemon for all tests that ask and change nothing."""
    with dbus_daemon(place) as bus, running(bus.address, place) as daemon:
        yield daemon


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Library:
    return load(request.param)
