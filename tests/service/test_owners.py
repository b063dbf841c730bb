"""Who a caller is, over a machine in a directory and with real processes."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Iterator

import pytest

from memd.errors import BadKernelFile, Failed, InvalidArgs
from memd.kernel.root import Root
from memd.model import Caller
from memd.service.owners import NO_CGROUP, NO_PROCESS, Owners, groups

Put = Callable[[str, str | bytes], None]
SUBORDINATE = 3_000_000_001  # no user of this machine


@pytest.fixture
def pidfd() -> Iterator[int]:
    fd = os.pidfd_open(os.getpid())
    yield fd
    os.close(fd)


@pytest.fixture
def machine(root: Root, put: Put, pidfd: int) -> Root:
    put("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
    put(f"proc/self/fdinfo/{pidfd}", "Pid:\t77\n")
    return root


def ask(machine: Root, uid: int, pidfd: int | None) -> Caller:
    return Owners(machine).caller(":1.5", uid, [0, 27], 77, pidfd)


def test_a_service(machine: Root, put: Put, pidfd: int) -> None:
    put("proc/77/cgroup", "0::/system.slice/camera.service\n")

    assert ask(machine, 0, pidfd) == Caller(":1.5", 0, frozenset({0, 27}), 77, "camera.service", "camera.service")


def test_a_subordinate_uid_is_its_users(machine: Root, put: Put, pidfd: int) -> None:
    """65,535 uids and one quota; and none of the groups that it kept."""
    put("proc/77/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/camera.service\n")

    assert ask(machine, SUBORDINATE, pidfd) == Caller(":1.5", SUBORDINATE, frozenset(), 77, "uid:1000", None)


def test_a_bus_without_processes(machine: Root) -> None:
    owners = Owners(machine)
    assert not owners.missing

    owners.bus_tells = False

    assert owners.caller(":1.5", 0, None, 77, None).owner == "uid:0"
    assert owners.missing == (NO_PROCESS,)


def test_cgroups_that_are_not_to_be_seen(machine: Root, pidfd: int) -> None:
    owners = Owners(machine)

    assert owners.caller(":1.5", 0, None, 77, pidfd).owner == "uid:0"
    assert owners.missing == (NO_CGROUP,)


def test_a_machine_without_the_unified_hierarchy(root: Root) -> None:
    assert Owners(root).missing == (NO_CGROUP,)


def test_an_ended_process_is_nobody(machine: Root) -> None:
    """Or it would be charged as a uid that it chose, of 65,536."""
    with subprocess.Popen(["true"]) as process:
        ended = os.pidfd_open(process.pid)
    try:
        with pytest.raises(Failed, match="process 77, which made this connection, has ended"):
            Owners(Root()).caller(":1.5", SUBORDINATE, None, 77, ended)
    finally:
        os.close(ended)


def test_nonsense_is_no_owner(machine: Root, put: Put, pidfd: int) -> None:
    put("proc/77/cgroup", "what\n")

    with pytest.raises(BadKernelFile):
        ask(machine, 0, pidfd)


def test_of_a_uid_no_more_is_known() -> None:
    owners = Owners(Root())

    assert owners.user(0) == Caller("", 0, groups(0, None), 0, "uid:0")
    assert owners.user(SUBORDINATE).gids == set()
    for uid in (-1, 0xFFFFFFFF, 1 << 60):
        with pytest.raises(InvalidArgs, match="is no uid"):
            owners.user(uid)


def test_a_process_is_known_as_if_it_called(put: Put, machine: Root) -> None:
    pid = os.getpid()
    put(f"proc/{pid}/status", "Uid:\t1\t0\t1\t1\nGid:\t5\t6\t5\t5\nGroups:\t27\n")
    put("proc/77/cgroup", "0::/system.slice/camera.service\n")
    free = os.dup(0)
    os.close(free)  # the number that the pidfd will have
    put(f"proc/self/fdinfo/{free}", "Pid:\t77\n")
    owners = Owners(machine)

    assert owners.process(pid) == Caller("", 0, frozenset({6, 27}), pid, "camera.service", "camera.service")
    owners.bus_tells = False
    assert owners.process(pid).owner == "uid:0"


def test_no_such_process(machine: Root) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    owners = Owners(Root())
    for pid in (0, -1, 1 << 60):
        with pytest.raises(InvalidArgs, match="is no pid"):
            owners.process(pid)
    with pytest.raises(InvalidArgs, match=f"there is no process {process.pid}"):
        owners.process(process.pid)
    with pytest.raises(InvalidArgs, match="not to be seen"):
        Owners(machine).process(os.getpid())


def test_groups_count_only_where_the_user_is_known() -> None:
    known = pwd.getpwuid(0)

    assert groups(0, [0, 27]) == {0, 27}
    assert groups(0, None) == set(os.getgrouplist(known.pw_name, known.pw_gid))
    assert groups(SUBORDINATE, [0, 27]) == set()
