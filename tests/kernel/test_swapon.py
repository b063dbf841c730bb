"""Flags as the kernel's header has them; errors come with errno and path; a machine in a directory is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memd.errors import NotSupported
from memd.kernel import swapon
from memd.kernel.root import Root

Call = Callable[[Root, str], None]


@pytest.mark.parametrize(
    ("priority", "discard", "flags"),
    [
        (100, True, 0x8000 | 100 | 0x50000),
        (100, False, 0x8064),
        (0, False, 0x8000),
        (-1, False, 0),
        (32767, False, 0xFFFF),
    ],
)
def test_flags(priority: int, discard: bool, flags: int) -> None:
    assert swapon.flags(priority, discard) == flags


@pytest.mark.parametrize("priority", [-2, 32768])
def test_no_priority(priority: int) -> None:
    with pytest.raises(ValueError, match="-1 to 32767"):
        swapon.flags(priority, discard=False)


def on(root: Root, path: str) -> None:
    swapon.swapon(root, path, 0)


@pytest.mark.parametrize("call", [on, swapon.swapoff])
def test_missing_device(tmp_path: Path, call: Call) -> None:
    path = str(tmp_path / "nothing")

    with pytest.raises(OSError, match="nothing") as caught:
        call(Root(), path)
    assert caught.value.errno == (errno.ENOENT if os.geteuid() == 0 else errno.EPERM)
    assert caught.value.filename == path


def test_garbage_device(tmp_path: Path) -> None:
    path = tmp_path / "no-swap"
    path.write_bytes(b"x" * 65536)

    with pytest.raises(OSError, match="no-swap") as caught:
        swapon.swapon(Root(), str(path), 0)
    assert caught.value.errno == (errno.EINVAL if os.geteuid() == 0 else errno.EPERM)


@pytest.mark.parametrize("call", [on, swapon.swapoff])
def test_a_machine_in_a_directory_is_refused(root: Root, call: Call) -> None:
    with pytest.raises(NotSupported, match="machine in a directory"):
        call(root, "/dev/zram0")


@pytest.mark.parametrize("way", [swapon._quick, swapon._plain])
def test_both_ways_to_the_c_library_tell_errno(monkeypatch: pytest.MonkeyPatch, way: Callable[..., Any]) -> None:
    monkeypatch.setattr(swapon, "_quick", way)

    assert swapon.libc("rmdir", b"/proc/self/nothing") == errno.ENOENT
    assert swapon.libc("access", b"/", os.R_OK) == 0


def test_a_cpython_that_has_it_otherwise_gets_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_name: str) -> None:
        raise AttributeError("CFuncPtr")

    monkeypatch.setattr(swapon, "_quick", gone)

    assert swapon.libc("rmdir", b"/proc/self/nothing") == errno.ENOENT
