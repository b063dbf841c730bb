"""memd.kernel.cgroup: a process's cgroup by its pidfd; hidden, of no unified hierarchy, ended, and nonsense."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from memd.errors import BadKernelFile
from memd.kernel import cgroup
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
SERVICE = "/system.slice/camera.service"
HYBRID = f"12:cpuset:/\n4:memory:/other\n1:name=systemd:/nowhere\n0::{SERVICE}\n"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.fixture
def pidfd(child: subprocess.Popen[bytes]) -> Iterator[int]:
    fd = os.pidfd_open(child.pid)
    yield fd
    os.close(fd)


def put_pid(put: Put, pidfd: int, pid: object) -> None:
    put(f"proc/self/fdinfo/{pidfd}", f"pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t5\nPid:\t{pid}\nNSpid:\t{pid}\n")


@pytest.mark.parametrize("text", [f"0::{SERVICE}\n", HYBRID])
def test_good(root: Root, put: Put, pidfd: int, text: str) -> None:
    put_pid(put, pidfd, 77)
    put("proc/77/cgroup", text)

    assert cgroup.read(root, pidfd) == SERVICE


def test_this_machine(child: subprocess.Popen[bytes], pidfd: int) -> None:
    """A child is where its parent is."""
    with open("/proc/self/cgroup") as file:
        own = cgroup.parse(file.read())

    assert cgroup.read(Root(), pidfd) == own


def test_missing(root: Root, put: Put, pidfd: int) -> None:
    put_pid(put, pidfd, 77)
    assert cgroup.read(root, pidfd) is None  # hidepid=2

    put("proc/77/cgroup", "4:memory:/other\n1:name=systemd:/init.scope\n")
    assert cgroup.read(root, pidfd) is None

    put_pid(put, pidfd, 0)  # of a pid namespace that this /proc is not of
    assert cgroup.read(root, pidfd) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("proc/self/fdinfo/{}", "pos:\t0\n"),
        ("proc/self/fdinfo/{}", "Pid:\tmany\n"),
        ("proc/self/fdinfo/{}", "Pid:\t-2\n"),
        ("proc/77/cgroup", "0:/system.slice\n"),
        ("proc/77/cgroup", "0::system.slice\n"),
        ("proc/77/cgroup", "0::\n"),
    ],
)
def test_garbage(root: Root, put: Put, pidfd: int, name: str, text: str) -> None:
    put_pid(put, pidfd, 77)
    put(name.format(pidfd), text)

    with pytest.raises(BadKernelFile) as caught:
        cgroup.read(root, pidfd)
    assert caught.value.path == root.path(name.format(pidfd))


def test_a_pid_that_may_be_anothers_by_now(root: Root, put: Put, child: subprocess.Popen[bytes], pidfd: int) -> None:
    """The file is there and good, and is not believed: the process had ended before it was read."""
    put_pid(put, pidfd, 77)
    put("proc/77/cgroup", HYBRID)
    child.kill()
    child.wait()

    with pytest.raises(ProcessLookupError):
        cgroup.read(root, pidfd)


@pytest.mark.parametrize("reaped", [False, True])
def test_one_that_has_ended(child: subprocess.Popen[bytes], pidfd: int, *, reaped: bool) -> None:
    child.kill()
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | (0 if reaped else os.WNOWAIT))

    with pytest.raises(ProcessLookupError):
        cgroup.read(Root(), pidfd)
    assert not cgroup.alive(pidfd)
