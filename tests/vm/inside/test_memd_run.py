"""memctl run on real heaps: programs that know nothing of memd, by people who have no right to a heap's node."""

import errno
import os
import stat
import subprocess
from pathlib import Path

import people
import pytest
from dmabuf import MiB
from people import MEMBER, STRANGER

HEAP_USER, REFERENCE = (Path(__file__).parents[1] / name for name in ("heap_user", "reference"))
pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.usefixtures("users")]


def run(user: str, *command: object) -> subprocess.CompletedProcess[str]:
    return people.run(user, "memctl", "run", "--", *command)


def test_the_nodes_stay_closed() -> None:
    assert stat.S_IMODE(os.stat("/dev/dma_heap/system").st_mode) & 0o066 == 0
    assert people.run(MEMBER, HEAP_USER, "many", "system", 4096).returncode == 3


LONG = [
    pytest.param(word, marks=pytest.mark.long)
    for word in ("threads", "children", "longer", "close-on-exec", "interrupted")
]


@pytest.mark.parametrize("what", ["many", *LONG])
def test_a_program_has_buffers_of_its_own(what: str) -> None:
    done = run(MEMBER, HEAP_USER, what, "system", 64 * 1024)

    assert (done.returncode, done.stderr) == (0, "")
    assert people.buffers() == []


@pytest.mark.long
def test_a_program_that_dies_leaves_nothing() -> None:
    assert run(MEMBER, HEAP_USER, "dying", "system", 4096).returncode in (-9, 137)
    assert people.eventually(lambda: people.buffers() == [])


def test_the_vendors_program() -> None:
    assert run(MEMBER, REFERENCE, "system", 3 * MiB).stdout == f"ok {3 * MiB}\n"


@pytest.mark.needs("heap:reserved")
def test_an_old_name_for_the_boards_default_heap() -> None:
    done = people.run("root", "memctl", "run", "--heap-map", "linux,cma=contiguous", "--", REFERENCE, "linux,cma", MiB)

    assert (done.stdout, done.stderr) == (f"ok {MiB}\n", "")


def test_refusals_are_errnos() -> None:
    for user, size, number in ((STRANGER, 4096, errno.EACCES), (MEMBER, 1 << 40, errno.ENOMEM)):
        assert run(user, HEAP_USER, "errno", "system", size).stdout == f"{number}\n"


def test_wrong_calls_are_refused_as_by_the_kernel() -> None:
    """The kernel's own answers beside ours, but for a file that is no heap."""
    ours = run(MEMBER, HEAP_USER, "wrong", "system", 4096).stdout
    kernels = subprocess.run([HEAP_USER, "wrong", "system", "4096"], capture_output=True, text=True).stdout

    assert ours == kernels


def test_as_prefix_of_a_service_that_notifies() -> None:
    """Type=notify with the default NotifyAccess=main: the program has the pid that systemd knows."""
    unit = "memd-test-run.service"
    script = f"import os, time, subprocess; from systemd import daemon; subprocess.check_call(['{HEAP_USER}', 'many', 'system', '4096'])"
    script += "; daemon.notify('READY=1'); time.sleep(1000)"
    words = ["--quiet", "--unit", unit, "-p", "Type=notify", "-p", f"User={MEMBER}", "-p", "TimeoutStartSec=50"]
    try:
        people.output("systemd-run", *words, "/usr/bin/memctl", "run", "--", "/usr/bin/python3", "-c", script)
        assert people.output("systemctl", "show", "-P", "ActiveState", unit) == "active\n"
        pid = people.output("systemctl", "show", "-P", "MainPID", unit).strip()
        assert "time.sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    finally:
        people.output("systemctl", "stop", unit)
    assert people.output("systemctl", "show", "-P", "Result", unit) == "success\n"
