"""memctl's words, exit status and JSON, over a real socket to a peer that plays memd."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from memd.cli import exits
from memd.cli.main import COMMANDS, main
from memd.cli.zram import SHOWN
from tests.cli.conftest import Machine, Memctl
from tests.cli.machines import BARE, BOARD, BUFFERS, HOSTILE
from tests.client.conftest import Peer

GOLDEN = Path(__file__).parent / "golden"
NAMES = [module.__name__.rpartition(".")[2] for module in COMMANDS]
ERROR = "org.memd1.Error."


@pytest.fixture
def start(peer: Peer, machine: Machine) -> Any:
    """memctl as a process of its own."""
    options = {
        "env": {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": peer.address},
        "stdout": PIPE,
        "stderr": PIPE,
        "text": True,
    }
    memctl = [sys.executable, "-m", "memd.cli"]
    return lambda *words, command=None, **more: subprocess.run(command or [*memctl, *words], **options | more)


def test_status(memctl: Memctl) -> None:
    code, out, err = memctl("status")

    assert (code, err) == (exits.FINE, "")
    assert out == (GOLDEN / "status-board.80").read_text().replace("█", "#").replace("░", ".")


def test_status_json_is_what_memd_said(memctl: Memctl) -> None:
    code, out, _ = memctl("status", "--json")

    assert (code, json.loads(out)) == (exits.FINE, BOARD)
    assert list(json.loads(out)) == list(BOARD)


def test_json_is_ascii_whatever_comes(memctl: Memctl, machine: Machine) -> None:
    machine.status = HOSTILE
    _, out, _ = memctl("status", "--json")

    assert json.loads(out)["missing"] == HOSTILE["missing"]
    assert out.isascii()
    assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("heaps", "--json"), BOARD["heaps"]),
        (("buffers", "--json"), BUFFERS),
        (("zram", "--json"), {key: dict(BOARD)[key] for key in SHOWN}),
        (("--json", "heaps"), BOARD["heaps"]),
    ],
)
def test_json(memctl: Memctl, words: tuple[str, ...], expected: object) -> None:
    code, out, err = memctl(*words)

    assert (code, json.loads(out), err) == (exits.FINE, expected, "")


def test_bus_before_and_after_the_command(memctl: Memctl, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")

    assert memctl("--bus", peer.address, "heaps")[0] == exits.FINE


def test_bus_after_the_command(memctl: Memctl, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")

    assert memctl("heaps", "--bus", peer.address)[0] == exits.FINE


def test_buffers_hands_on_its_filters(memctl: Memctl, peer: Peer) -> None:
    memctl("buffers", "--heap", "system", "--owner", "uid:7", "--older", "10min")

    options = {key: value.value for key, value in peer.calls[-1].body[0].items()}
    assert (options["heap"], options["owner"], options["older"]) == ("system", "uid:7", 600_000_000)


def test_failed_zram_is_bad_news(memctl: Memctl, machine: Machine) -> None:
    machine.status = {**BARE, "zram_state": "failed", "zram_reason": "swapon: Operation not permitted"}
    code, out, _ = memctl("zram")

    assert (code, out) == (exits.BAD_NEWS, "failed: swapon: Operation not permitted\n")


def test_pressure_now(memctl: Memctl) -> None:
    code, out, _ = memctl("pressure")

    assert code == exits.FINE
    assert "  medium    stalled some 12.3% 3.1%, full 4.0% 0.9% (last 10s, 60s)\n" in out


def test_pressure_follows_until_memd_ends(memctl: Memctl) -> None:
    code, out, err = memctl("pressure", "--follow")

    assert [line.split()[1] for line in out.splitlines()] == ["medium", "critical", "none"]
    assert (code, "memd has ended" in err) == (exits.UNREACHABLE, True)


def test_pressure_json_is_one_object_a_line(memctl: Memctl) -> None:
    _, out, _ = memctl("pressure", "--follow", "--json")

    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["level"] for row in rows] == ["medium", "critical", "none"]
    assert rows[1]["some_avg10"] == 12.5
    assert all(isinstance(row["time"], float) for row in rows)


def test_alloc_without_a_command(memctl: Memctl, peer: Peer) -> None:
    code, out, _ = memctl("alloc", "any", "4M", "--name", "camera")

    assert (code, out) == (
        exits.FINE,
        "buffer 17: 4M from heap system, allocated and released (give a command after -- to use it)\n",
    )
    assert peer.calls[-1].body[2]["name"].value == "camera"


def test_alloc_json(memctl: Memctl) -> None:
    _, out, _ = memctl("alloc", "any", "4M", "--json")

    assert json.loads(out) == {"id": 17, "heap": "system", "size": 4 << 20, "released": True}


def test_alloc_runs_the_command_with_the_buffer(start: Any) -> None:
    done = start(
        "alloc",
        "any",
        "4K",
        "--",
        sys.executable,
        "-c",
        "import os; os.pwrite(int(os.environ['MEMD_FD']), b'x', 0); exit(7)",
    )

    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("memctl: buffer 17: 4K from heap system, MEMD_FD=")


def test_alloc_hands_on_only_the_buffer(start: Any) -> None:
    """The command has the fd, its own three, and a SIGPIPE that kills; of memctl's connection it has nothing."""
    script = "ls -l /proc/self/fd | grep -c -e socket -e epoll; grep SigIgn /proc/self/status; test -e /proc/self/fd/$MEMD_FD"
    done = start("alloc", "any", "4K", "--", "sh", "-c", script)

    count, ignored = done.stdout.splitlines()
    assert (done.returncode, count) == (0, "0")
    assert not int(ignored.split()[1], 16) & 1 << 12


def test_a_signal_that_ends_the_command_is_seen(start: Any) -> None:
    assert start("alloc", "any", "4K", "--", "sh", "-c", "kill -TERM $$").returncode == -15


def test_alloc_json_with_a_command_goes_to_stderr(start: Any) -> None:
    done = start("alloc", "--json", "any", "4K", "--", "echo", "mine")

    assert done.stdout == "mine\n"
    assert json.loads(done.stderr)["fd"] > 2


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [("/no/such", exits.NOT_FOUND, "not found"), ("/etc/passwd", exits.CANNOT_RUN, "Permission denied")],
)
def test_command_that_cannot_be_run(memctl: Memctl, command: str, code: int, words: str) -> None:
    assert (answer := memctl("alloc", "any", "4K", "--", command))[0] == code
    assert words in answer[2]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (ERROR + "NotAllowed", exits.REFUSED),
        (ERROR + "QuotaExceeded", exits.REFUSED),
        (ERROR + "NoSuchHeap", exits.REFUSED),
        (ERROR + "NoMemory", exits.REFUSED),
        (ERROR + "PressureTooHigh", exits.REFUSED),
        (ERROR + "Busy", exits.REFUSED),
        ("org.freedesktop.DBus.Error.AccessDenied", exits.REFUSED),
        ("org.freedesktop.DBus.Error.InvalidArgs", exits.USAGE),
        ("org.freedesktop.DBus.Error.ServiceUnknown", exits.UNREACHABLE),
        (ERROR + "Failed", exits.BAD_NEWS),
        ("org.example.Unheard", exits.BAD_NEWS),
    ],
)
def test_errors_have_exit_codes(memctl: Memctl, machine: Machine, name: str, code: int) -> None:
    machine.refusal = name, "what happened; \x1b[31mwhat to do"
    answer, out, err = memctl("alloc", "any", "4K", "--", "true")

    assert (answer, out) == (code, "")
    assert err.startswith("memctl: ")
    assert err.count("\n") == 1
    assert err.strip("\n").isprintable()


def test_unreachable(memctl: Memctl, tmp_path: Path) -> None:
    code, out, err = memctl("--bus", f"unix:path={tmp_path}/none", "status")

    assert (code, out) == (exits.UNREACHABLE, "")
    assert (
        err
        == f"memctl: there is no bus at unix:path={tmp_path}/none (No such file or directory); is dbus.service running?\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("statsu",), "invalid choice: 'statsu'"),
        (("status", "--jsn"), "unrecognized arguments: --jsn"),
        (("status", "--js"), "unrecognized arguments: --js"),
        (("status", "--", "ls"), "leave -- away"),
        (("alloc", "system"), "required: SIZE"),
        (("alloc", "system", "64"), "'64' has no unit; write 64M"),
        (("alloc", "system", "64Q"), "no unit 'Q'"),
        (("alloc", "system", "-1M"), "required: SIZE"),
        (("alloc", "system", "1M", "ls"), "unrecognized arguments: ls, a command to run stands after --"),
        (("alloc", "system", "1M", "--"), "no command after --"),
        (("buffers", "--older", "10"), "no unit of time"),
        (("config",), "say check, import or --explain"),
        (("config", "print"), "invalid choice: 'print'"),
        (("--bus", "tcp:host=x", "status"), "is no address of a bus"),
        (("\x1b[31m",), "\\x1b[31m"),
    ],
)
def test_usage(memctl: Memctl, words: tuple[str, ...], expected: str) -> None:
    code, out, err = memctl(*words)

    assert (code, out) == (exits.USAGE, "")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example(memctl: Memctl, name: str) -> None:
    code, out, _ = memctl(name, "--help")

    assert code == exits.FINE
    assert f"Example: memctl {name}" in out


def test_help_and_version(memctl: Memctl) -> None:
    assert all(f"    {name} " in memctl("--help")[1] for name in NAMES)
    assert memctl("--version")[1].startswith("memctl 0.")


def test_interrupt_ends_quietly(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("memd.cli.status.run", interrupted)

    assert main(["status"]) == exits.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_reader_that_leaves(start: Any) -> None:
    """As `memctl status | head -0` does."""
    reading, writing = os.pipe()
    os.close(reading)
    done = start("status", stdout=writing)
    os.close(writing)

    assert (done.returncode, done.stderr) == (exits.PIPE_CLOSED, "")


def test_closed_stdout(start: Any) -> None:
    """Its number must not become the bus's, nor the buffer's."""
    script = "exec >&-; exec \"$0\" -m memd.cli alloc any 4K -- sh -c 'echo fd $MEMD_FD >&2; echo lost'"
    done = start(command=["sh", "-c", script, sys.executable])

    assert (done.returncode, done.stdout) == (0, "")
    assert int(done.stderr.split()[-1]) > 2


def test_closed_stdout_is_no_error(start: Any) -> None:
    assert start(command=["sh", "-c", '"$0" -m memd.cli status >&-', sys.executable]).returncode == 0


def test_start_stays_light() -> None:
    """--help and a usage error need nothing of the bus."""
    script = "import sys, memd.cli.main; print(*set(sys.modules) & {'asyncio', 'dbus_next', 'json', 'socket', 'dataclasses'})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"
