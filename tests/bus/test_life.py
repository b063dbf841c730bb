"""The daemon's process from start to end, on a real bus."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memd import __version__
from memd.main import Options, parse
from tests.bus.buses import Bus
from tests.bus.daemon import CONFIG, REPOSITORY, call, running
from tests.bus.raw import until


@pytest.mark.parametrize("library", ["dbus_next", "dbus_fast"])
def test_the_end_of_the_bus_ends_memd_with_a_failure_that_systemd_mends(
    bus: Bus, tmp_path: Path, library: str
) -> None:
    swaps = Path("/proc/swaps").read_text()
    with running(bus.address, tmp_path, library) as daemon:
        bus.process.kill()

        assert daemon.process.wait(10) == 1
        assert "the bus is gone" in daemon.log.read_text()
    assert Path("/proc/swaps").read_text() == swaps


def test_sighup_reloads_or_says_where_it_is_wrong(daemon_bus: Bus, tmp_path: Path) -> None:
    with running(daemon_bus.address, tmp_path) as daemon:
        (tmp_path / "memd.conf").write_text("[Zram]\nEnabled=no\n[Lending]\nFloor=lots\n")
        daemon.process.send_signal(signal.SIGHUP)

        assert until(lambda: "memd.conf:4: [Lending] Floor=" in daemon.log.read_text())
        with daemon.client() as client:
            assert call(client, "GetStatus").body[0]["degraded"].value == []


def test_a_bus_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (config := tmp_path / "memd.conf").write_text(CONFIG)
    done = memd("--bus", f"unix:path={tmp_path}/nowhere", "--config", str(config))

    assert done.returncode == 1
    assert f"{tmp_path}/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_says_where_help_is() -> None:
    done = memd("--sise=3")

    assert (done.returncode, done.stderr) == (2, "memd: there is no option '--sise'; see memd --help\n")


def test_help_and_version() -> None:
    assert "--setup-swap" in memd("--help").stdout
    assert memd("--version").stdout == f"memd {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ([], Options()),
        (["--bus", "session", "--simulate"], Options(bus="session", simulate=True)),
        (["--bus=unix:path=/x", "--config=/y", "--fast"], Options(bus="unix:path=/x", config="/y", fast=True)),
        (["--bus"], Options(wrong="--bus needs a value")),
        (["--simulate=yes"], Options(wrong="there is no option '--simulate'")),
        (["stray"], Options(wrong="there is no option 'stray'")),
    ],
)
def test_options(argv: list[str], options: Options) -> None:
    assert parse(argv) == options


def memd(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memd", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
