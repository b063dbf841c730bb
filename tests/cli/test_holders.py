"""memctl buffers --holders and --write-off against the real daemon, and what is drawn of the worst names."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memd.cli import exits, holders
from memd.cli.holders import Held, Survey
from memd.cli.main import main
from memd.cli.render import Look
from memd.client import Memd
from memd.kernel.dmabuf import DmaBufInfo
from memd.kernel.holders import FD, Hold
from memd.kernel.root import Root
from tests.bus.buses import dbus_daemon
from tests.cli.machines import BUFFERS
from tests.cli.test_real import daemon

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into other processes")
MINE = os.getpid()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dbus_daemon(tmp_path_factory.mktemp("bus")) as bus, daemon(bus.address, tmp_path_factory.mktemp("memd")):
        yield bus.address


def survey(address: str, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["--bus", address, "--json", "buffers", "--holders", *words]) == exits.FINE
    return json.loads(capsys.readouterr().out)


@as_root
def test_everyone_who_holds_it(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Memd(address) as memd, memd.allocate("simulated", 8192, name="preview") as buffer, buffer.mmap():
        path = os.open(f"/proc/self/fd/{buffer.fileno()}", os.O_PATH)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[buffer.fileno()])
        [held] = survey(address, capsys)["buffers"]
        os.close(path)
        child.communicate()

    assert held["lent"]["name"] == "preview"
    mine, theirs = sorted(held["holders"], key=lambda one: one["pid"] != MINE)
    assert (mine["pid"], mine["user"], mine["maps"], mine["paths"]) == (MINE, "root", 1, [path])
    assert buffer_fd(mine)
    assert (theirs["pid"], theirs["maps"], len(theirs["fds"])) == (child.pid, 0, 1)
    assert theirs["command"].startswith("python")


def buffer_fd(holder: Any) -> bool:
    return len(holder["fds"]) >= 1


@as_root
def test_in_flight_it_is_in_no_process(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    near, far = socket.socketpair()
    with near, far, Memd(address) as memd:
        with memd.allocate("simulated", 4096) as buffer:
            socket.send_fds(near, [b"x"], [buffer.fileno()])
        [held] = survey(address, capsys, "--heap", "simulated")["buffers"]
        assert main(["--bus", address, "buffers", "--holders"]) == exits.FINE

    assert held["holders"] == []
    assert "in no process" in capsys.readouterr().out


@as_root
def test_filters(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Memd(address) as memd, memd.allocate("simulated", 4096):
        assert survey(address, capsys, "--older", "10min")["buffers"] == []
        assert len(survey(address, capsys, "--owner", "uid:0")["buffers"]) <= 1
        assert len(survey(address, capsys)["buffers"]) == 1


def test_only_root_may_look(address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert main(["--bus", address, "buffers", "--holders"]) == exits.REFUSED
    assert "sudo" in capsys.readouterr().err


@as_root
def test_write_off(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Memd(address) as memd, memd.allocate("simulated", 4096) as buffer:
        assert main(["--bus", address, "buffers", "--write-off", str(buffer.id)]) == exits.FINE
        assert "no longer" in capsys.readouterr().out
        [row] = memd.buffers()
        assert row["state"] == "written-off"
    assert main(["--bus", address, "buffers", "--write-off", "999999"]) == exits.REFUSED
    assert "999999" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--write-off", "x"], ["--write-off", "-1"], ["--write-off", "1", "--heap", "a"]])
def test_write_off_of_no_number(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bus", "unix:path=/nowhere", "buffers", *words]) == exits.USAGE
    assert capsys.readouterr().err.count("\n") == 1


def test_what_memd_did_not_lend(tmp_path: Path) -> None:
    """Known by the device of what is surely a DMA-BUF: a file that is called so, or has a name like one, is none."""
    one = Survey(Root(str(tmp_path)))
    who: holders.Holder = {
        "pid": 7, "command": "\x1b]0;x\x07", "user": "u", "owner": "uid:7", "fds": [], "paths": [], "maps": 0,
    }  # fmt: skip
    info = DmaBufInfo(4096, 3, "system\x1b", b"memd:camera:\xff\nsize:\t1")
    one._who[7] = who
    one._holds = {
        (12, 70): [Hold(7, FD, 3, (12, 70), b"/dmabuf:", info)],
        (12, 71): [Hold(7, FD, 4, (12, 71), b"/dmabuf:", info), Hold(7, "map", 9, (12, 71), b"/dmabuf:")],
        (8, 71): [Hold(7, FD, 5, (8, 71), b"/dmabuf:a file")],
    }

    [other] = one.others(BUFFERS[:1])  # which has inode 70 of device 12

    assert (other["inode"], other["size"], other["elsewhere"]) == (71, 4096, 1)
    assert other["name"] == "memd:camera:\\xff\nsize:\t1"
    text = holders.text([one.of(BUFFERS[0])], [other], 1_000_001.0, Look(200))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "not memd's" in text
    assert "2 in flight in a socket, or of a driver" in text
    assert holders.text([], [], 0.0, Look(80)) == "no buffers\n"


def test_o_path_alone_has_no_size(tmp_path: Path) -> None:
    one = Survey(Root(str(tmp_path)))
    one._who[7] = {"pid": 7, "command": "x", "user": "u", "owner": "uid:7", "fds": [], "paths": [], "maps": 0}
    one._holds = {(12, 99): [Hold(7, "path", 3, (12, 99), b"/dmabuf:x")]}

    [other] = one.others(BUFFERS)
    held: Held = other

    assert "size" not in held
    assert "O_PATH fd 3" in holders.text([], [held], 0.0, Look(200))
