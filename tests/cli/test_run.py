"""memctl run: programs that know nothing of memd, static and dynamic, as root and as nobody in particular, on a real memd."""

from __future__ import annotations

import errno
import os
import pty
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dbus_next
import psutil
import pytest

import memd
from memd.client import Memd
from memd.kernel import namespace
from tests.bus import daemon
from tests.bus.buses import dbus_daemon

SOURCE = Path(__file__).parents[1] / "vm/inside/heap_user.c"
PYTHON = "/usr/bin/python3"
USER, OTHER = 65534, 1  # nobody and daemon, whom every Debian knows: the bus turns away a uid without a name
BIG, MORE = 65536, 1 << 40
Run = Callable[..., "subprocess.CompletedProcess[str]"]
# Lines of mountinfo: id, parent, device, root, mount point, ...
CHROOT = "/" not in [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a private bus for several users is root's to start"),
    pytest.mark.skipif(
        CHROOT, reason="in a chroot the kernel makes no user namespace, and its root is no mount point"
    ),
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that other users can look into."""
    with tempfile.TemporaryDirectory(prefix="memd-run-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    rules = daemon.CONFIG + f"[Allow user]\nUser={USER}\nHeaps=simulated\nExemptFromPressure=yes\nMaxBytes=8M\n"
    with dbus_daemon(place) as bus, daemon.running(bus.address, place, config=rules):
        yield bus.address


@pytest.fixture(scope="module")
def program(place: Path) -> str:
    return _build(place / "heap_user")


@pytest.fixture(scope="module")
def static_program(place: Path) -> str:
    return _build(place / "heap_user-static", "-static")


def _build(target: Path, *how: str) -> str:
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-pthread", *how, "-o", target, SOURCE], check=True)
    return str(target)


@pytest.fixture(scope="module", autouse=True)
def installed(place: Path) -> Path:
    """memctl where other users can read it, for Debian's own Python: this checkout and its Python may be root's alone."""
    for package in (memd, dbus_next):
        assert package.__file__
        shutil.copytree(Path(package.__file__).parent, place / "lib" / package.__name__)
    return place / "lib"


def command(address: str, *words: str) -> list[str]:
    return [PYTHON, "-m", "memd.cli", "--bus", address, "run", *words]


@pytest.fixture(autouse=True)
def python_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture(params=[None, USER], ids=["root", "user"])
def run(request: pytest.FixtureRequest, address: str) -> Run:
    def start(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        line = command(address, "--heap-map", "system=simulated", *words)
        return execute(line, request.param, timeout=60, **more)

    return start


def execute(line: list[str], user: int | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    who: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    return subprocess.run(line, cwd="/", capture_output=True, text=True, **who, **more)


def lent(address: str) -> int:
    with Memd(address) as memd:
        return len(list(memd.buffers()))


@pytest.mark.parametrize("what", ["many", "threads", "children", "longer", "close-on-exec"])
def test_buffers_are_the_programs_own(run: Run, program: str, address: str, what: str) -> None:
    done = run("--", program, what, "system", str(BIG))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert lent(address) == 0


@pytest.mark.parametrize("heap", ["system", "simulated"])
def test_a_static_program(run: Run, static_program: str, heap: str) -> None:
    """By the name that --heap-map gives, and by the heap's own."""
    done = run("--", static_program, "many", heap, str(BIG))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_calls_that_signals_interrupt(run: Run, program: str, address: str) -> None:
    done = run("--", program, "interrupted", "system", "4096")

    assert (done.returncode, done.stdout) == (0, "interrupted\n")
    assert lent(address) == 0


def test_a_program_that_dies_in_the_middle(run: Run, program: str, address: str) -> None:
    assert run("--", program, "dying", "system", "4096").returncode == -signal.SIGKILL

    assert settled(lambda: lent(address) == 0)


def test_wrong_calls_are_refused_as_the_kernel_does(run: Run, program: str) -> None:
    lines = dict(line.rsplit(" ", 1) for line in run("--", program, "wrong", "system", "4096").stdout.splitlines())

    assert {name: errno.errorcode[int(number)] for name, number in lines.items()} == {
        "fd": "EINVAL",
        "fd_flags": "EINVAL",
        "heap_flags": "EINVAL",
        "len": "EINVAL",
        "no struct": "EINVAL",
        "pointer": "EFAULT",
        "kernel pointer": "EFAULT",
        "other device": "ENOTTY",
        "no fd": "EBADF",
    }


def test_a_refusal_is_an_errno(run: Run, program: str, address: str) -> None:
    assert run("--", program, "errno", "system", str(MORE)).stdout == f"{errno.ENOMEM}\n"
    done = run("--verbose", "--", program, "errno", "system", str(MORE))

    assert f"system: {MORE} bytes refused: " in done.stderr.replace("simulated", "system")


def test_not_allowed_is_eacces(program: str, address: str) -> None:
    done = execute(command(address, "--", program, "errno", "simulated", "4096"), OTHER)

    assert done.stdout == f"{errno.EACCES}\n"


def test_only_heaps_are_there(run: Run) -> None:
    done = run("--", "ls", "/dev/dma_heap")

    assert done.stdout.split() == ["simulated", "system"]


def test_the_machine_keeps_its_own_dev(run: Run, program: str) -> None:
    before = os.path.isdir(namespace.HEAPS) and os.listdir(namespace.HEAPS)
    run("--", program, "many", "system", "4096")

    assert (os.path.isdir(namespace.HEAPS) and os.listdir(namespace.HEAPS)) == before


def test_exit_status_and_input_pass_through(run: Run) -> None:
    done = run("--", "sh", "-c", "cat; exit 7", input="word")

    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (7, "word")


def test_the_program_has_memctls_pid(address: str) -> None:
    line = command(address, "--", "sh", "-c", "echo $$")
    with subprocess.Popen(line, cwd="/", stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate()[0] == f"{process.pid}\n"


def test_it_starts_no_child_that_the_program_would_find(run: Run) -> None:
    script = "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')"

    assert run("--", "/usr/bin/env", "python3", "-c", script).stdout in ("none\n", "")


def test_nothing_of_the_programs_is_kept_open(address: str) -> None:
    """A pipe that the program has is at its end when the program closes it, while the helper still runs."""
    reading, writing = os.pipe()
    line = command(address, "--", "sh", "-c", f"exec {writing}>&-; sleep 1000")
    with subprocess.Popen(line, cwd="/", pass_fds=[writing]) as process:
        os.close(writing)
        assert os.read(reading, 1) == b""
        process.terminate()
    os.close(reading)


def test_the_terminal_passes_through(address: str) -> None:
    leader, follower = pty.openpty()
    line = command(address, "--", "sh", "-c", "tty; stty size")
    with subprocess.Popen(line, cwd="/", stdin=follower, stdout=follower, start_new_session=True):
        os.close(follower)
        shown = _read_all(leader)

    assert b"/dev/pts/" in shown


def _read_all(fd: int) -> bytes:
    found = b""
    while True:
        try:
            more = os.read(fd, 4096)
        except OSError:  # EIO: the last other end has been closed
            more = b""
        if not more:
            os.close(fd)
            return found
        found += more


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGPIPE])
def test_signals_are_the_programs(address: str, number: signal.Signals) -> None:
    line = command(address, "--", "sh", "-c", "echo ready; exec sleep 1000")
    with subprocess.Popen(line, cwd="/", stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, number)
        process.wait(20)

    assert process.returncode == -number


def test_the_helper_ends_with_the_last_of_the_program(address: str) -> None:
    line = command(address, "--", "sh", "-c", "sleep 0.3 & exit 5")
    assert subprocess.run(line, cwd="/").returncode == 5

    assert settled(lambda: not helpers(address))


def helpers(address: str) -> list[str]:
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if f"--bus {address} run" in line]


def settled(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_memd_may_be_started_anew_meanwhile(place: Path, program: str) -> None:
    """The program goes on, with buffers of the new memd's."""
    (other := place / "again").mkdir(exist_ok=True)
    with dbus_daemon(other) as bus:
        script = f"{program} many simulated 4096 && echo one && read word && {program} many simulated 4096 && echo two"
        with daemon.running(bus.address, other):
            process = subprocess.Popen(
                command(bus.address, "--", "sh", "-c", script),
                cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert process.stdout
            assert process.stdout.readline() == "one\n"
        with daemon.running(bus.address, other):
            assert process.communicate("go\n")[0] == "two\n"


def test_without_memd_the_program_gets_enodev(place: Path, program: str) -> None:
    (other := place / "gone").mkdir()
    with dbus_daemon(other) as bus:
        script = f"read word; {program} errno simulated 4096"
        with daemon.running(bus.address, other):
            process = subprocess.Popen(
                command(bus.address, "--", "sh", "-c", script),
                cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert settled(lambda: bool(_is_sh(process.pid)))
        assert process.communicate("go\n")[0] == f"{errno.ENODEV}\n"


def _is_sh(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == "sh\n"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--", "/nowhere/at/all"], 127, "was not found"),
        (["--", "no-such-program-anywhere"], 127, "was not found"),
        (["--", "/etc/passwd"], 126, "cannot be run"),
        (["--"], 125, "no program"),
        ([], 125, "no program"),
        (["--heap-map", "a=nowhere", "--", "true"], 125, "memd has no heap nowhere"),
        (["--heap-map", "a/b=simulated", "--", "true"], 125, "no pair of heap names"),
        (["--heap-map", "simulated", "--", "true"], 125, "no pair of heap names"),
        (["--no-such-option", "--", "true"], 125, "unrecognized arguments"),
    ],
)
def test_own_failures(address: str, words: list[str], status: int, told: str) -> None:
    done = execute(command(address, *words))

    assert done.returncode == status
    assert told in done.stderr
    assert settled(lambda: not helpers(address))


def test_no_memd_is_an_own_failure(place: Path) -> None:
    done = execute(command("unix:path=/nowhere", "--", "true"))

    assert done.returncode == 125
    assert done.stderr.startswith("memctl run: ")


def test_inside_itself_it_says_so(address: str, program: str) -> None:
    inner = command(address, "--", program, "many", "simulated", "4096")
    done = execute(command(address, "--", *inner))

    assert done.returncode == 125
    assert "does not work inside itself" in done.stderr


def test_where_user_namespaces_are_off_it_says_so(address: str, program: str) -> None:
    """By the limit that an administrator would set, in a user namespace of the test's own."""
    line = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    line += command(address, "--", program, "many", "simulated", "4096")
    script = f"echo; read word; echo 0 > /proc/sys/user/max_user_namespaces && exec {shlex.join(line)}"
    with subprocess.Popen(
        ["unshare", "--user", "--keep-caps", "sh", "-c", script],
        cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "\n"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text("0 0 70000")
        _, told = process.communicate("go\n")

    assert process.returncode == 125, told
    assert "needs user namespaces" in told
