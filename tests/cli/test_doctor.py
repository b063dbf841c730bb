"""memctl doctor on machines in directories, and on the one that runs the tests."""

from __future__ import annotations

import errno
import gzip
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.cli import doctor_looks, exits
from memd.client.errors import NoBus, Unreachable
from memd.client.framing import TimedOut
from memd.kernel import systemctl
from memd.kernel.root import Root
from memd.policy.checkup import Ailment
from memd.policy.kerneloptions import OPTIONS
from tests.cli.conftest import Machine, Memctl

Put = Callable[[str, str | bytes], None]
NOBUS = "unix:path=/nowhere"


@pytest.fixture
def sound(root: Root, put: Put) -> Root:
    """A machine on which nothing is wrong, but that memd is not there."""
    put("proc/config.gz", gzip.compress("".join(f"CONFIG_{option.name}=y\n" for option in OPTIONS).encode()))
    put("proc/sys/kernel/osrelease", "7.3.4-memd\n")
    put("proc/meminfo", "MemTotal: 1000000 kB\nMemFree: 1000 kB\nMemAvailable: 5000 kB\n")
    put("etc/group", "root:x:0:\ndmaheap:x:990:\n")
    put("usr/share/dbus-1/system.d/org.memd1.conf", "<busconfig/>")
    put("sys/module/dma_heap/parameters/mem_accounting", "Y\n")
    return root


def look(root: Root) -> dict[str, Ailment]:
    return {one.rule: one for one in doctor_looks.look(NOBUS, root)}


def test_a_sound_machine_misses_only_memd(sound: Root) -> None:
    assert list(look(sound)) == ["no-memd"]


def test_findings_of_each_place(sound: Root, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("proc/config.gz", gzip.compress(b"CONFIG_SWAP=y\n"))
    put("etc/memd/memd.conf", "[Zram]\nSize=wrong\n")
    put("run/systemd/system/x", "")
    put("sys/module/dma_heap/parameters/mem_accounting", "N\n")
    monkeypatch.setattr(systemctl, "show", lambda *_: {"LoadState": "loaded", "MemoryMax": "5", "Slice": "-.slice"})

    assert {"kernel-psi", "configuration", "unit-memorymax", "mem-accounting"} <= set(look(sound))


def test_what_cannot_be_read_is_a_finding(sound: Root, put: Put) -> None:
    put("proc/config.gz", b"garbage")

    assert "config.gz" in look(sound)["unreadable"].what


def test_a_configuration_that_is_no_text_is_one_finding(sound: Root, put: Put) -> None:
    put("etc/memd/memd.conf", bytes(range(256)) * 4)
    found = [one for one in doctor_looks.look(NOBUS, sound) if one.rule == "configuration"]

    assert ["is no text" in one.what for one in found] == [True]


@pytest.mark.parametrize("closed", ["etc/memd", "etc/memd/memd.conf", "etc/memd/memd.conf.d"])
def test_what_only_root_may_read_is_not_called_wrong(
    sound: Root, put: Put, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("etc/memd/memd.conf", "[Zram]\nSize=512M\n")
    put("etc/memd/memd.conf.d/1.conf", "[Zram]\nSize=512M\n")
    for name in ("list", "read"):
        monkeypatch.setattr(Root, name, _closed(getattr(Root, name), closed))
    found = look(sound)

    assert found["unreadable"].what == f"{sound.path(closed)}: Permission denied"
    assert found["unreadable"].mend == "try again as root"
    assert "configuration" not in found


def _closed(plain: Callable[[Root, str], object], closed: str) -> Callable[[Root, str], object]:
    """The tests run as root, who may read everything."""

    def method(self: Root, name: str) -> object:
        if name == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.path(name))
        return plain(self, name)

    return method


def test_what_mends_it_is_who_is_missing(sound: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus, memd's answer, memd."""
    for error, mend in (
        (NoBus(""), "systemctl start dbus.service"),
        (TimedOut(""), "systemctl restart memd.service"),
        (Unreachable(""), "systemctl start memd.service"),
    ):
        monkeypatch.setattr(doctor_looks, "_told", lambda _, error=error: error)
        assert look(sound)["no-memd"].mend == mend
    monkeypatch.undo()
    assert look(sound)["no-memd"].mend == "systemctl start dbus.service"


def test_a_memd_that_does_not_answer_is_not_waited_for_as_by_others(
    sound: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_looks, "PATIENCE", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen()
        found = {one.rule: one for one in doctor_looks.look(f"unix:path={tmp_path}/bus", sound)}

    assert found["no-memd"].mend == "systemctl restart memd.service"


def test_for_people(memctl: Memctl, machine: Machine) -> None:
    code, out, err = memctl("doctor", "--all")

    assert err == ""
    assert out.splitlines()[-1].split()[1] in ("finding", "findings")
    assert (code == exits.BAD_NEWS) is ("error: " in out)
    assert memctl("doctor")[1].count("note: ") == 0


def test_for_programs(memctl: Memctl, machine: Machine) -> None:
    code, out, _ = memctl("doctor", "--json")
    found = json.loads(out)

    assert all(set(one) == {"rule", "severity", "what", "costs", "mend"} for one in found)
    assert (code == exits.BAD_NEWS) is any(one["severity"] == "error" for one in found)
