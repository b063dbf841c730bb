"""memctl and the client against the real daemon: its own process, on a private dbus-daemon and on dbus-broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import NotRequired, get_args, get_origin, get_type_hints

import pytest

from memd import errors
from memd.cli import exits
from memd.cli.main import main
from memd.client import DmaBuf, Memd, Unreachable, types
from tests.bus.buses import BUSES, Bus, dbus_daemon
from tests.swapsettings import KEEP

# The machine's own swap is nobody's business here, and another test may stall the machine.
CONFIG = f"[Zram]\nEnabled=no\n{KEEP}[Lending]\nMaxBytes=64M\nRefuseAt=never\n"
WRITER = "import mmap, os; mmap.mmap(int(os.environ['MEMD_FD']), 4096)[:5] = b'token'"
READER = "import mmap, os; print(mmap.mmap(int(os.environ['MEMD_FD']), 4096)[:5].decode())"
Memctl = Callable[..., tuple[int, str, str]]


@contextmanager
def daemon(address: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    config = directory / "memd.conf"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "memd", "--bus", address, "--simulate", "--config", str(config)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        _wait_for(address, process, directory / "log")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with Memd(address) as memd:
                memd.status()
        except Unreachable:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def process(address: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "memd.cli", "--bus", address, *words], capture_output=True, text=True)


@pytest.fixture(scope="module", params=sorted(BUSES))
def bus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with BUSES[request.param](tmp_path_factory.mktemp("bus")) as running:
        yield running


@pytest.fixture(scope="module")
def memd_process(bus: Bus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    with daemon(bus.address, tmp_path_factory.mktemp("memd")) as process:
        yield process


@pytest.fixture
def memctl(bus: Bus, memd_process: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]) -> Memctl:
    """In this process, which is faster: (exit status, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["--bus", bus.address, *words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def client(bus: Bus, memd_process: subprocess.Popen[bytes]) -> Iterator[Memd]:
    with Memd(bus.address) as client:
        yield client


def test_command_writes_and_another_reads(bus: Bus, memd_process: subprocess.Popen[bytes]) -> None:
    both = f'"{sys.executable}" -c "$1" && "{sys.executable}" -c "$2"'
    command = ["sh", "-c", both, "sh", WRITER, READER]
    done = process(bus.address, "alloc", "simulated", "1M", "--name", "two", "--", *command)

    assert (done.returncode, done.stdout) == (0, "token\n")
    assert "1M from heap simulated, MEMD_FD=" in done.stderr


def test_buffer_is_listed_while_it_lives(memctl: Memctl, client: Memd) -> None:
    with client.allocate("simulated", 3 << 20, name="still here"):
        (row,) = json.loads(memctl("buffers", "--heap", "simulated", "--json")[1])
        assert (row["size"], row["name"], row["pid"], row["uid"]) == (3 << 20, "still here", os.getpid(), os.getuid())
        assert abs(row["time"] - time.time()) < 60
        assert set(row) == set(types.BufferFacts.__annotations__)
        assert "still here" in memctl("buffers", "--owner", row["owner"])[1]
        assert json.loads(memctl("buffers", "--older", "10min", "--json")[1]) == []
        assert "3M lent in 1 buffer" in memctl("status")[1]

    assert json.loads(memctl("buffers", "--json")[1]) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("simulated", "128M"), exits.REFUSED),
        (("simulated", "1T"), exits.REFUSED),
        (("nosuch", "1M"), exits.REFUSED),
        (("../x", "1M"), exits.USAGE),
        (("", "1M"), exits.USAGE),
        (("simulated", "0"), exits.USAGE),
        (("simulated", "1M", "--name", "a\tb"), exits.USAGE),
        (("simulated", "1M", "--name", "x" * 10_000), exits.USAGE),
    ],
)
def test_refusals(memctl: Memctl, words: tuple[str, ...], code: int) -> None:
    answer, out, err = memctl("alloc", *words)

    assert (answer, out) == (code, "")
    assert err.startswith("memctl: ")
    assert err.count("\n") == 1


def test_status_is_what_the_types_say(client: Memd) -> None:
    """The documented shape is the daemon's, key by key."""
    status = client.status()

    _check(status, types.Status)
    assert status["heaps"][0]["simulated"] is True


def _check(value: object, kind: type) -> None:
    assert isinstance(value, dict)
    hints = get_type_hints(kind)
    assert set(value) <= set(hints)
    # postponed annotations hide NotRequired from the class itself
    extras = get_type_hints(kind, include_extras=True)
    required = kind.__required_keys__ - {key for key in extras if get_origin(extras[key]) is NotRequired}  # type: ignore[attr-defined]
    assert required <= set(value)
    for key, item in value.items():
        nested = (get_args(hints[key]) or (hints[key],))[0]
        for one in item if isinstance(item, list) else [item]:
            if isinstance(one, dict):
                _check(one, nested)
            else:
                assert isinstance(one, nested if nested is not float else (int, float))


@pytest.mark.parametrize("command", ["status", "heaps", "buffers", "zram", "pressure"])
def test_every_command_speaks_text_and_json(memctl: Memctl, command: str) -> None:
    assert memctl(command)[0] == exits.FINE
    assert json.loads(memctl(command, "--json")[1]) is not None


def test_client_in_turn(client: Memd) -> None:
    many = client.allocate_many("simulated", [1, 5000, 1 << 20], name="many")
    try:
        assert [buffer.size for buffer in many] == [4096, 8192, 1 << 20]
        assert [row["id"] for row in client.buffers()] == [buffer.id for buffer in many]
        _write_each(many)
    finally:
        for buffer in many:
            buffer.close()
    allowed, info = client.can_allocate("simulated", 4096)
    assert (allowed, info["heap"]) == (True, "simulated")
    assert client.can_allocate("simulated", 128 << 20)[0] is False
    assert client.reload() == {"message": "reloaded", "jobs": []}


def _write_each(buffers: list[DmaBuf]) -> None:
    for buffer in buffers:
        with buffer.mmap() as memory, buffer.sync_write():
            memory[:8] = buffer.id.to_bytes(8, "little")
    for buffer in buffers:
        with buffer.mmap(write=False) as memory, buffer.sync_read():
            assert int.from_bytes(memory[:8], "little") == buffer.id


def test_many_allocations_leave_nothing(client: Memd) -> None:
    """The fixture of every test looks at this side's fds; the listing at the daemon's books."""
    for _ in range(300):
        with client.allocate("simulated", 4096) as buffer:
            os.pwrite(buffer.fileno(), b"x", 0)
    assert list(client.buffers()) == []


def test_typed_errors(client: Memd) -> None:
    with pytest.raises(errors.NoSuchHeap, match="simulated"):
        client.allocate("nosuch", 4096)
    with pytest.raises(errors.InvalidArgs):
        client.allocate("simulated", 0)
    with pytest.raises(errors.LimitsExceeded):
        client.allocate_many("simulated", [4096] * 65)
    assert client.heaps()


def test_nobody_owns_the_name(tmp_path: Path) -> None:
    with dbus_daemon(tmp_path) as bus:
        done = process(bus.address, "status")

    assert (done.returncode, done.stdout) == (exits.UNREACHABLE, "")
    assert "systemctl start memd" in done.stderr


def test_follow_ends_with_memd(tmp_path: Path) -> None:
    with dbus_daemon(tmp_path) as bus, daemon(bus.address, tmp_path) as memd:
        command = [sys.executable, "-m", "memd.cli", "--bus", bus.address, "pressure", "--follow", "--json"]
        with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as follower:
            assert follower.stdout
            first = json.loads(follower.stdout.readline())
            memd.terminate()
            _, err = follower.communicate(timeout=60)

    assert first["level"] in ("none", "low", "medium", "critical")
    assert (follower.returncode, err) == (exits.UNREACHABLE, "memctl: memd has ended; see `systemctl status memd`\n")
