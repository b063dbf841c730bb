"""Private buses, both libraries, and nothing of the loop's left behind by a test of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memd.bus.library import Library, load
from tests.bus.buses import BUSES, Bus, dbus_daemon

LIBRARIES = ("dbus_next", "dbus_fast")


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


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Library:
    return load(request.param)
