"""systemd/memd.catalog against names.py, the fields that memd writes, and the real journalctl."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from memd import names

TREE = Path(__file__).parent.parent
CATALOG = TREE / "systemd/memd.catalog"
IDENTIFIERS = {name: value for name, value in vars(names).items() if name.startswith("MESSAGE_")}
HEADERS = {"Subject", "Defined-By"}


def entries() -> dict[str, str]:
    """Identifier -> the text up to the next one; fails for one that is there twice."""
    _, *parts = re.split(r"^-- ([0-9a-f]{32})$", CATALOG.read_text(), flags=re.MULTILINE)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    assert len(found) == len(parts) // 2
    return found


def test_an_entry_for_each_message_and_none_more() -> None:
    assert len(IDENTIFIERS) == len(set(IDENTIFIERS.values()))
    assert entries().keys() == set(IDENTIFIERS.values())


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_format(name: str) -> None:
    head, _, body = entries()[IDENTIFIERS[name]].strip().partition("\n\n")

    assert {line.partition(": ")[0] for line in head.splitlines()} == HEADERS
    assert all(line.partition(": ")[2] for line in head.splitlines())
    assert len(body) > 100, "what it means, and what to do"
    assert max(map(len, body.splitlines())) <= 80


def test_fields_are_fields_that_memd_writes() -> None:
    used = set(re.findall(r"@(\w+)@", CATALOG.read_text()))
    written = {"MESSAGE"}.union(
        *(re.findall(r'"(MEMD_[A-Z0-9_]+)"', file.read_text()) for file in (TREE / "memd").rglob("*.py"))
    )

    assert used - written == set()


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="no journalctl on this machine")
def test_journalctl_takes_it(tmp_path: Path) -> None:
    """Compiled into a catalog of its own, and listed from there."""
    catalog = tmp_path / "usr/lib/systemd/catalog"
    catalog.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, catalog)
    command = ["journalctl", f"--root={tmp_path}"]

    subprocess.run([*command, "--update-catalog"], check=True, capture_output=True)
    listed = subprocess.run([*command, "--list-catalog"], check=True, capture_output=True, text=True).stdout

    assert {line.split()[0] for line in listed.splitlines()} == set(IDENTIFIERS.values())
    assert "memd: Memory pressure is @MEMD_LEVEL@, was @MEMD_PREVIOUS@" in listed
