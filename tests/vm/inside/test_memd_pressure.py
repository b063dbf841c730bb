"""Real memory stress: the level goes up, and comes down again, in the journal, on the bus and in the status."""

import json
import subprocess
from pathlib import Path

import people
import pytest
from people import output

pytestmark = pytest.mark.needs("psi")
THRASH = Path(__file__).with_name("thrash.py")
CATALOG = Path("/usr/lib/systemd/catalog/memd.catalog")


@pytest.mark.timeout(150)
def test_stress_is_seen_told_and_forgotten() -> None:
    people.calm()
    before, swapped = len(people.journal("MEMD_LEVEL=none")), people.swapped_out()
    stress = ["systemd-run", "--quiet", "--unit=memd-thrash", "-p", "MemoryMax=32M", "-p", "RuntimeMaxSec=60"]
    with people.hearing() as hear:
        try:
            output(*stress, "python3", THRASH, 96 << 20, 50)
            assert "PressureChanged ('none'" not in hear("PressureChanged", 50)
            assert people.level() != "none"
        finally:
            subprocess.run(["systemctl", "stop", "memd-thrash"])
        hear("PressureChanged ('none'", 60)
    assert people.level() == "none"
    assert len(people.journal("MEMD_LEVEL=none")) == before + 1
    assert people.swapped_out() > swapped


@pytest.mark.timeout(90)
def test_the_journal_explains_what_it_says() -> None:
    entries = people.journal("MEMD_LEVEL=none")
    message = entries[-1]["MESSAGE_ID"]
    assert f"-- {message}" in CATALOG.read_text()
    assert [
        json.loads(line) for line in output("journalctl", "-b", "-o", "json", f"MESSAGE_ID={message}").splitlines()
    ]
    assert "-- Subject:" in output("journalctl", "-b", "-x", "-n", "1", f"MESSAGE_ID={message}").replace("░░", "--")
