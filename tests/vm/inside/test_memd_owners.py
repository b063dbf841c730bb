"""Who is charged, under systemd as init: services, users' slices and managers, delegated cgroups, subordinate uids; and rules for units."""

import json
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import people
import pytest
from people import MEMBER, MEMCTL_REFUSED, STRANGER, memctl, output

pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.usefixtures("users")]
tells_processes = pytest.mark.needs("process-fd")

UNIT = "memd-test-camera.service"
BORROW = ["memctl", "alloc", "system", "1M", "--", "memctl", "buffers", "--json"]
SUBORDINATE = "200001"
DROP_IN = Path("/run/memd/memd.conf.d/memd-test.conf")


def uid(user: str) -> int:
    return pwd.getpwnam(user).pw_uid


def service(*command: str, **properties: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the system's own memd-test-camera.service."""
    told = [word for key, value in properties.items() for word in ("-p", f"{key}={value}")]
    words = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--unit={UNIT}", *told, "--", *command]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def charged(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The owners of what BORROW showed."""
    assert done.returncode == 0, done.stderr
    return [row["owner"] for row in json.loads(done.stdout)]


@pytest.fixture
def rule() -> Iterator[Callable[[str], None]]:
    """Adds rules for one test."""

    def write(text: str) -> None:
        DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        DROP_IN.write_text(text)
        output("systemctl", "reload", "memd")

    yield write
    DROP_IN.unlink(missing_ok=True)
    output("systemctl", "reload", "memd")


@pytest.fixture
def manager() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs a command as memd-test-camera.service of a user's own manager: (user, output file, command)."""
    started = []

    def run(user: str, *command: str) -> subprocess.CompletedProcess[str]:
        number = uid(user)
        output("systemctl", "start", f"user@{number}.service")
        started.append(number)
        runtime = Path(f"/run/user/{number}")
        units = runtime / "systemd/user"
        units.mkdir(parents=True, exist_ok=True)
        text = f"[Service]\nType=oneshot\nStandardOutput=truncate:{runtime}/out\nExecStart={' '.join(command)}\n"
        (units / UNIT).write_text(text)
        for path in (units.parent, units, units / UNIT):
            os.chown(path, number, number)
        words = ["env", f"XDG_RUNTIME_DIR={runtime}", "systemctl", "--user"]
        people.run(user, *words, "daemon-reload")
        done = people.run(user, *words, "start", UNIT)
        there = runtime / "out"
        return subprocess.CompletedProcess(
            words, done.returncode, there.read_text() if there.exists() else "", done.stderr
        )

    yield run
    for number in started:
        subprocess.run(["systemctl", "stop", f"user@{number}.service"], check=True)


@tells_processes
@pytest.mark.parametrize("user", ["root", MEMBER])
def test_a_service_is_charged_by_its_unit(user: str) -> None:
    assert charged(service(*BORROW, User=user)) == [UNIT]


@tells_processes
def test_what_a_service_makes_of_its_delegated_cgroup_is_the_service() -> None:
    script = (
        'below="/sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3-)/other.service"; mkdir "$below"; '
        f'echo $$ > "$below/cgroup.procs"; grep -q other.service /proc/self/cgroup && exec {" ".join(BORROW)}'
    )
    assert charged(service("sh", "-c", script, Delegate="yes")) == [UNIT]


@tells_processes
def test_what_runs_in_a_users_slice_is_the_users() -> None:
    assert charged(service(*BORROW, User=MEMBER, Slice=f"user-{uid(MEMBER)}.slice")) == [f"uid:{uid(MEMBER)}"]


@tells_processes
def test_a_users_unit_of_that_name_is_the_users(manager: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert charged(manager(MEMBER, "/usr/bin/memctl", *BORROW[1:])) == [f"uid:{uid(MEMBER)}"]


@tells_processes
def test_a_rule_for_a_unit_is_for_the_systems_unit_only(
    rule: Callable[[str], None], manager: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    rule(f"[Allow memd-test]\nUnit={UNIT}\nHeaps=system\nMaxBytes=1M\n")

    assert charged(service(*BORROW, User=STRANGER)) == [UNIT]
    refused = service("memctl", "alloc", "system", "2M", User=STRANGER)
    assert (refused.returncode, "rule memd-test" in refused.stderr) == (MEMCTL_REFUSED, True), refused.stderr
    assert people.run(STRANGER, *BORROW).returncode == MEMCTL_REFUSED
    assert manager(STRANGER, "/usr/bin/memctl", *BORROW[1:]).returncode != 0
    in_slice = service(*BORROW, User=STRANGER, Slice=f"user-{uid(STRANGER)}.slice")
    assert in_slice.returncode == MEMCTL_REFUSED


@tells_processes
def test_root_is_told_which_rule_decides_for_a_process(rule: Callable[[str], None]) -> None:
    rule(f"[Allow memd-test]\nUnit={UNIT}\nHeaps=system\nMaxBytes=system:1M\n")
    output("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", "sleep", "50")
    try:
        pid = output("systemctl", "show", "-P", "MainPID", UNIT).strip()
        told = memctl("config", "--explain", pid, "system", "1M")
    finally:
        output("systemctl", "stop", UNIT)

    assert (told["allowed"], told["owner"], told["rule"], told["limit"]) == (True, UNIT, "memd-test", 1 << 20)
    assert f"unit {UNIT}" in told["why"]


@pytest.mark.needs("process-fd", "dbus-broker")
def test_subordinate_uids_are_one_owner_and_in_no_group(rule: Callable[[str], None]) -> None:
    """A uid that NSS does not know keeps its user's groups on the bus, and has them no more for rules."""
    gid = next(
        line.split(":")[2] for line in Path("/etc/group").read_text().splitlines() if line.startswith("dmaheap:")
    )
    become = ["setpriv", "--reuid", SUBORDINATE, "--regid", SUBORDINATE, "--groups", gid]
    home = f"user-{uid(MEMBER)}.slice"
    assert service(*become, *BORROW, Slice=home).returncode == MEMCTL_REFUSED

    rule("[Allow memd-test]\nEveryone=yes\nHeaps=system\n")

    assert charged(service(*become, *BORROW, Slice=home)) == [f"uid:{uid(MEMBER)}"]


@pytest.mark.machines("x86_64-6.1")
def test_a_bus_without_processes_charges_the_uid_and_says_so(rule: Callable[[str], None]) -> None:
    rule(f"[Allow memd-test]\nUnit={UNIT}\nHeaps=system\n")

    assert [line for line in memctl("status")["missing"] if "ProcessFD" in line]
    assert charged(service(*BORROW, User=MEMBER)) == [f"uid:{uid(MEMBER)}"]
    assert service(*BORROW, User=STRANGER).returncode == MEMCTL_REFUSED
