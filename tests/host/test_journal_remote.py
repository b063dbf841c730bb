"""Events that leave the device: systemd-journal-upload to systemd-journal-remote, with the fields as they were."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memd.names import MESSAGE_PRESSURE
from tests.host.test_journal import HERE, TREE, no_private_journald

PROGRAMS = tuple(f"/usr/lib/systemd/systemd-journal-{name}" for name in ("remote", "upload"))
UPLOAD = """
import os, socket, subprocess, sys, time
from memd.kernel.root import Root
from memd.model import Event
from memd.names import MESSAGE_PRESSURE
from memd.service.journal import Journal

remote, upload, port, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
tell = Journal(Root())
tell(Event("pressure", MESSAGE_PRESSURE, 4, {"MEMD_LEVEL": "medium", "MEMD_PREVIOUS": "low", "MEMD_MEM_TOTAL": 5}))
tell.close()
with subprocess.Popen([remote, f"--listen-http={port}", f"--output={out}/remote.journal", "--split-mode=none"]) as collector:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                break
        time.sleep(0.1)
    words = [f"--url=http://127.0.0.1:{port}", "--directory=/run/log/journal", f"--save-state={out}/state"]
    with subprocess.Popen([upload, *words]) as device:
        journalctl = ["journalctl", "-q", "-o", "json", f"--file={out}/remote.journal", f"MESSAGE_ID={MESSAGE_PRESSURE}", "_UID=0"]
        shown = ""
        for _ in range(100):
            shown = subprocess.run(journalctl, capture_output=True, text=True).stdout
            if shown:
                break
            time.sleep(0.1)
        device.terminate()
    collector.terminate()
print(shown)
"""


def why_not() -> str:
    missing = [program for program in PROGRAMS if not os.path.exists(program)]
    return f"no {missing[0]} on this machine" if missing else no_private_journald()


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_an_event_arrives_with_its_fields(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    done = subprocess.run(
        [HERE / "with_journald", sys.executable, "-c", UPLOAD, *PROGRAMS, str(port), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(TREE)},
    )
    assert done.returncode == 0, done.stderr
    (entry,) = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    wanted = {"MEMD_LEVEL": "medium", "MEMD_PREVIOUS": "low", "MEMD_MEM_TOTAL": "5", "MESSAGE_ID": MESSAGE_PRESSURE}
    assert wanted.items() <= entry.items()
    assert entry["_UID"] == "0"
