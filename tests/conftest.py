"""What every test lives under: a machine in a directory, and no fd and no task left behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from memd.kernel.root import Root
from tests import swapsettings

# A busy machine is no failure.
settings.register_profile("memd", deadline=None)
settings.load_profile("memd")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip says why a machine can't; the machine of CI can, so there it is a failure. (An expected failure is no skip.)"""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {report.longrepr}"
    return report


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(str(tmp_path))


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str | bytes], None]:
    """Put a kernel file into the machine in a directory."""

    def write(name: str, text: str | bytes) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    return write


@pytest.fixture(autouse=True, scope="session")
def swap_settings_as_before() -> Iterator[None]:
    """No memd under test changes the machine's own settings of swap."""
    before = swapsettings.now()
    yield
    assert swapsettings.now() == before


def open_fds() -> dict[int, str]:
    fds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            fds[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the fd of this very listing
    return fds


@pytest.fixture(autouse=True)
def no_fd_left() -> Iterator[None]:
    before = open_fds()
    yield
    gc.collect()
    left = {fd: what for fd, what in open_fds().items() if fd not in before}
    assert not left, f"fds left open: {left}"


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fails a test that leaves a task running; tests/service and tests/bus use it for every test."""
    yield
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks left running: {left}"
