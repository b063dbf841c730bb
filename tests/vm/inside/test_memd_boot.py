"""The package's units under systemd as init, as the boot left them."""

import re
import subprocess
from pathlib import Path

import people
import pytest
from dmabuf import meminfo
from people import output, swap

GIB = 1 << 30


def booted_with_memd() -> bool:
    """Whether the package was there when this machine started; a board may have got it for these tests.

    The images of emulated machines have it, and their clocks may be off by more than a boot takes."""
    if "systemd.wants=memd-test.service" in Path("/proc/cmdline").read_text():
        return True
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return Path("/var/lib/dpkg/info/memd.list").stat().st_mtime < int(boot.split()[1])


at_boot = pytest.mark.skipif(not booted_with_memd(), reason="memd was installed after this boot")


def show(unit: str, what: str) -> str:
    """A property of a unit."""
    return output("systemctl", "show", "-P", what, unit).strip()


def moment(unit: str, what: str) -> int:
    """When a unit reached a state, in microseconds since boot."""
    return int(show(unit, f"{what}TimestampMonotonic"))


def test_both_units_are_enabled_and_active() -> None:
    for unit in ("memd-swap.service", "memd.service"):
        assert (show(unit, "UnitFileState"), show(unit, "ActiveState")) == ("enabled", "active"), unit


def test_nothing_failed_during_boot() -> None:
    assert output("systemctl", "--failed", "--plain", "--no-legend").split("\n") == [""]


def test_the_boot_order_has_no_cycle() -> None:
    assert "ordering cycle" not in output("journalctl", "-b", "_PID=1", "--no-pager").lower()


@at_boot
def test_swap_is_on_before_the_swap_target() -> None:
    assert 0 < moment("memd-swap.service", "ActiveEnter") <= moment("swap.target", "ActiveEnter")


@at_boot
def test_swap_is_on_before_the_bus_is() -> None:
    assert moment("memd-swap.service", "ActiveEnter") < moment("dbus.service", "ActiveEnter")


@at_boot
def test_memd_is_ready_before_sessions_start() -> None:
    assert 0 < moment("memd.service", "ActiveEnter") <= moment("systemd-user-sessions.service", "ActiveEnter")


def test_systemd_finds_no_fault_in_the_units(here: set[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "memd.service", "memd-swap.service"], capture_output=True, text=True
    )
    faults = [line for line in done.stderr.splitlines() if "memd" in line]
    if "systemd-254" not in here:
        faults = [line for line in faults if "'FileDescriptorStorePreserve'" not in line]
    assert (done.returncode, faults) == (0, [])


def test_memd_has_nothing_to_complain_of() -> None:
    warnings = [entry["MESSAGE"] for entry in people.journal() if int(entry["PRIORITY"]) <= 4]
    assert warnings == []


def test_the_sandbox_is_rated_two_or_below() -> None:
    last = output("systemd-analyze", "security", "--no-pager", "memd.service").splitlines()[-1]
    rated = re.search(r"\d+\.\d", last)
    assert rated
    assert float(rated[0]) <= 2.0


def test_the_bus_shows_memd_to_everyone(users: None) -> None:
    done = people.run(people.STRANGER, "busctl", "--system", "tree", "org.memd1", "--list")
    assert {"/org/memd1", "/org/memd1/heap/system", "/org/memd1/zram/zram0"} <= set(done.stdout.split())


def test_swap_has_the_default_curves_size() -> None:
    ram = meminfo("MemTotal") - meminfo("CmaTotal")
    wanted = min(min(ram, 2 * GIB) + max(ram - 2 * GIB, 0) / 2, 8 * GIB)
    size = int(Path("/sys/block/zram0/disksize").read_text())
    assert abs(size - wanted) <= 4096
    assert int(swap()[2]) * 1024 == size - 4096  # the first page is the signature


def test_everyone_reads_the_devices_path_in_proc_swaps(users: None) -> None:
    seen = people.run(people.STRANGER, "cat", "/proc/swaps").stdout.splitlines()[1]
    assert seen.split()[0] == "/dev/zram0"
    assert seen.split()[4] == "100"
