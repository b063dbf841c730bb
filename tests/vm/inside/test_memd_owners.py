"""Who is charged, under systemd as init: services, users' slices, delegated cgroups, subordinate uids; and rules for units. (What a user's
own manager starts: test_memd_managers.py.)"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import people
import pytest
from people import MEMBER, MEMCTL_REFUSED, STRANGER, memctl, output
from units import BORROW, UNIT, charged, service, uid

pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.usefixtures("users"), pytest.mark.timeout(150)]
tells_processes = pytest.mark.needs("process-fd")

SUBORDINATE = "200001"


@pytest.fixture
def rule() -> Iterator[Callable[[str], None]]:
    """Adds rules for one test."""
    with contextlib.ExitStack() as stack:
        yield lambda text: stack.enter_context(people.rules(text))


@tells_processes
@pytest.mark.parametrize("user", ["root", MEMBER])
def test_a_service_is_charged_by_its_unit(user: str) -> None:
    assert charged(service(*BORROW, User=user)) == [UNIT]


@tells_processes
def test_what_a_service_makes_of_its_delegated_cgroup_is_the_service(tmp_path: Path) -> None:
    script = tmp_path / "script"  # a file: systemd-run reads $$ as $
    script.write_text(
        'below="/sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3-)/other.service"; mkdir "$below"; '
        f'echo $$ > "$below/cgroup.procs"; grep -q other.service /proc/self/cgroup && exec {" ".join(BORROW)}'
    )
    assert charged(service("sh", str(script), Delegate="yes")) == [UNIT]


@tells_processes
def test_what_runs_in_a_users_slice_is_the_users() -> None:
    assert charged(service(*BORROW, User=MEMBER, Slice=f"user-{uid(MEMBER)}.slice")) == [f"uid:{uid(MEMBER)}"]


@tells_processes
def test_a_rule_for_a_unit_is_for_the_systems_unit_only() -> None:
    with people.rules(f"[Allow memd-test]\nUnit={UNIT}\nHeaps=system\nMaxBytes=1M\n"):
        assert charged(service(*BORROW, User=STRANGER)) == [UNIT]
        refused = service("memctl", "alloc", "system", "2M", User=STRANGER)
        assert (refused.returncode, "rule memd-test" in refused.stderr) == (MEMCTL_REFUSED, True), refused.stderr
        assert people.run(STRANGER, *BORROW).returncode == MEMCTL_REFUSED
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

    assert [line for line in people.status()["missing"] if "ProcessFD" in line]
    assert charged(service(*BORROW, User=MEMBER)) == [f"uid:{uid(MEMBER)}"]
    assert service(*BORROW, User=STRANGER).returncode == MEMCTL_REFUSED
