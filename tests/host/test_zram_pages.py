"""A process of 1.5 times the RAM that it may have looks at its pages all along, while its swap moves, is cancelled, and is killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memd.kernel import zram
from tests.bus.daemon import REPOSITORY
from tests.host.test_zram import ROOT, M, active, nothing_active, patiently, pytestmark, undone
from tests.host.test_zram_live import change, command, config, device, used

__all__ = ["config", "device", "nothing_active", "pytestmark", "undone"]
PATTERN = REPOSITORY / "tests/vm/inside/pattern.py"
V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
RAM = 32 * M
DELAYS = (
    0.15,
    0.25,
    0.3,
    0.35,
    0.4,
    0.5,
    0.7,
    1.0,
)  # from before the second device is on until after the first one is off


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory cgroup of RAM bytes, and swap as much as there is."""
    parent, limit = (V1, "memory.limit_in_bytes") if (V1 / "memory.limit_in_bytes").exists() else (V2, "memory.max")
    made = parent / "memd-test-pages"
    try:
        made.mkdir()
        (made / limit).write_text(str(RAM))
    except OSError as error:
        pytest.skip(f"no memory cgroup of the test's own here: {error}")
    yield made
    patiently(made.rmdir)


@contextlib.contextmanager
def pattern(group: Path, size: int) -> Iterator[subprocess.Popen[str]]:
    script = f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"'
    words = ["sh", "-c", script, sys.executable, str(PATTERN), str(size)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def rounds(process: subprocess.Popen[str], count: int) -> None:
    """So many whole looks at all pages, from now on."""
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    with contextlib.suppress(TypeError):
        process.stdout.read()
    os.set_blocking(process.stdout.fileno(), True)
    for _ in range(count):
        line = process.stdout.readline()
        assert line.startswith("round "), line


def kill_in_the_middle(words: list[str], delay: float) -> None:
    helper = subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=REPOSITORY, start_new_session=True)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(helper.pid, 9)  # the swapoff in its child too
    helper.wait()


def finished(config: str) -> str:
    """What the next change says: a swapoff that was killed holds its device, and the lock, until the kernel has let go of it."""
    deadline = time.monotonic() + 30
    while "is being changed already" in (said := change(config, "[Zram]")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return said


def test_no_page_is_lost(config: str, device: str, group: Path) -> None:
    change(config, device, "Size=128M")
    with pattern(group, RAM * 3 // 2) as process:
        rounds(process, 1)
        (device,) = active()
        assert used(device) > 8 * M
        for number, delay in enumerate(DELAYS):
            (device,) = active()
            kill_in_the_middle(command(config, device, f"Size={129 + number}M"), delay)
            assert len(active()) in (1, 2)
            assert finished(config).startswith("done ")
            assert len(active()) == 1
        rounds(process, 2)
        said = change(config, "[Zram]", "Size=200M")
        assert "size" in said
        rounds(process, 2)
        assert process.poll() is None
    (device,) = active()
    assert zram.read(ROOT, device).disksize == 200 * M
