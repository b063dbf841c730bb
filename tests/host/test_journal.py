"""Events in a real systemd-journald, in a mount namespace of its own, and explained out of memd's catalog."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memd.names import MESSAGE_PRESSURE

HERE = Path(__file__).parent
TREE = HERE.parent.parent
JOURNALD = "/usr/lib/systemd/systemd-journald"
SEND = """
import os, shutil, subprocess, sys
from memd.kernel.root import Root
from memd.model import Event
from memd.names import MESSAGE_PRESSURE
from memd.service.journal import Journal

tell = Journal(Root())
tell(Event("pressure is a\\ntest", MESSAGE_PRESSURE, 4, {"MEMD_LEVEL": "medium", "MEMD_PREVIOUS": "low", "MEMD_MEM_TOTAL": 5}))
tell.close()
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/systemd"], check=True)
shutil.copytree(sys.argv[1], "/var/lib/systemd/catalog")
for more in (["-o", "json"], ["-x"]):
    journalctl = ["journalctl", "-q", "--no-pager", "-D", "/run/log/journal", *more, f"MESSAGE_ID={MESSAGE_PRESSURE}"]
    for _ in range(100):
        shown = subprocess.run(journalctl, check=True, capture_output=True, text=True).stdout
        if shown:
            break
    print(shown, end="\\0")
"""


def no_private_journald() -> str:
    """Why not, or nothing."""
    if os.geteuid() != 0:
        return "a private journald needs root"
    if not os.path.exists(JOURNALD):
        return f"no {JOURNALD} on this machine"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    return tried.stderr.strip()


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(TREE / "systemd/memd.catalog", tmp_path / "usr/lib/systemd/catalog")
    subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], check=True, capture_output=True)
    return tmp_path / "var/lib/systemd/catalog"


@pytest.mark.skipif(bool(no_private_journald()), reason=no_private_journald())
def test_an_event_is_an_entry_with_fields_and_an_explanation(catalog: Path) -> None:
    done = subprocess.run(
        [HERE / "with_journald", sys.executable, "-c", SEND, catalog],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(TREE)},
    )
    assert done.returncode == 0, done.stderr
    entries, explained, _ = done.stdout.split("\0")

    (entry,) = [json.loads(line) for line in entries.splitlines()]
    wanted = {
        "MESSAGE": "pressure is a\ntest",
        "MESSAGE_ID": MESSAGE_PRESSURE,
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "memd",
        "MEMD_LEVEL": "medium",
        "MEMD_PREVIOUS": "low",
        "MEMD_MEM_TOTAL": "5",
    }
    assert {name: entry.get(name) for name in wanted} == wanted
    assert "Subject: Memory pressure is medium, was low" in explained
    assert not any(left in explained for left in ("@MEMD", "MEMD_LOST"))
