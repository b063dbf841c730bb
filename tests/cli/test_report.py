"""memctl report: the page is written whatever this machine lacks, and says what could not be looked at."""

from __future__ import annotations

import json
from pathlib import Path

from memd.cli import exits
from tests.cli.conftest import Machine, Memctl


def test_it_is_written(memctl: Memctl, machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    code, out, _ = memctl("report", "--html", str(file))

    assert (code, out.splitlines()[0]) == (exits.FINE, f"written: {file}")
    assert "<h2>Heaps</h2>" in file.read_text()


def test_without_memd_it_says_so(memctl: Memctl, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    code, out, _ = memctl("--bus", "unix:path=/nowhere", "report", "--html", str(file), "--json")

    assert code == exits.FINE
    assert any(line.startswith("memd: ") for line in json.loads(out)["not_looked_at"])
    assert "<h2>Not looked at</h2>" in file.read_text()


def test_a_file_that_cannot_be_written(memctl: Memctl, machine: Machine) -> None:
    code, _, err = memctl("report", "--html", "/nowhere/report.html")

    assert (code, err.count("\n")) == (exits.BAD_NEWS, 1)
    assert "/nowhere/report.html" in err
