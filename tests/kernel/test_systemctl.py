"""systemctl show, by a program of the test's own: what it says, what it does not know, and where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from memd.kernel import systemctl


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "systemctl"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_good(says: Path) -> None:
    script(
        says,
        'test "$*" = "show --no-pager -p Slice,MemoryMax -- memd.service" && echo Slice=-.slice && echo MemoryMax=a=b',
    )

    assert systemctl.show("memd.service", ["Slice", "MemoryMax"]) == {"Slice": "-.slice", "MemoryMax": "a=b"}


def test_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert systemctl.show("memd.service", ["Slice"]) is None


def test_garbage(says: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(says, "echo no pair; exit 0")
    assert systemctl.show("memd.service", ["Slice"]) == {}
    script(says, "echo Failed to connect to bus >&2; exit 1")
    assert systemctl.show("memd.service", ["Slice"]) is None
    script(says, "exec sleep 100")
    monkeypatch.setattr(systemctl, "PATIENCE", 0.1)
    assert systemctl.show("memd.service", ["Slice"]) is None
