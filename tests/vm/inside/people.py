"""Who the tests are when they are not root, and memd's own commands as these people."""

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

MEMBER = "memd-member"  # of group dmaheap
STRANGER = "memd-stranger"
MEMCTL_REFUSED = 4


def create() -> None:
    """Make the two users anew."""
    remove()
    subprocess.run(["useradd", "--no-create-home", "--groups", "dmaheap", MEMBER], check=True)
    subprocess.run(["useradd", "--no-create-home", STRANGER], check=True)


def remove() -> None:
    """Leave no user behind on a real board."""
    for user in (MEMBER, STRANGER):
        subprocess.run(["userdel", user], stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def known(uids: Iterable[int]) -> Iterator[None]:
    """Users with these numbers: dbus-daemon turns away whom it does not know."""
    names = {f"memd-test-{uid}": uid for uid in uids}
    for name, uid in names.items():
        subprocess.run(["useradd", "--no-create-home", "--uid", str(uid), name], check=True)
    try:
        yield
    finally:
        for name in names:
            subprocess.run(["userdel", name], stderr=subprocess.DEVNULL)


def words(user: str, *command: object) -> list[str]:
    """The command line that runs a command as `user`."""
    return ["runuser", "-u", user, "--", *map(str, command)]


def run(user: str, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a command as `user`; its exit status is the caller's to judge."""
    return subprocess.run(words(user, *command), stdin=subprocess.DEVNULL, capture_output=True, text=True)


def output(*command: object) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def memctl(*words: object) -> Any:
    """What `memctl --json` tells root. A second of an emulated machine: `status` and `buffers` below are quicker."""
    return json.loads(output("memctl", *words, "--json"))


def journal(*matches: str) -> list[dict[str, Any]]:
    """memd's own journal entries of this boot, oldest first."""
    subprocess.run(["journalctl", "--sync"], check=True)
    lines = output("journalctl", "-b", "-o", "json", "--no-pager", "_SYSTEMD_UNIT=memd.service", *matches)
    return [json.loads(line) for line in lines.splitlines()]


def status() -> dict[str, Any]:
    """What memd tells root."""
    from memd.client import Memd  # not at the top: the machines' own tests run without memd

    with Memd() as memd:
        return dict(memd.status())


def buffers() -> list[dict[str, Any]]:
    """Every buffer that is lent."""
    from memd.client import Memd

    with Memd() as memd:
        return [dict(row) for row in memd.buffers()]


def kill_memd() -> None:
    """As a crash would, and wait for the one that systemd starts anew."""
    old = status()["pid"]
    output("systemctl", "kill", "-s", "KILL", "memd.service")
    assert eventually(lambda: _pid() not in {None, old}, 60), "memd did not come back"


def _pid() -> int | None:
    """Of the memd that answers."""
    from memd.errors import MemdError

    try:
        return int(status()["pid"])
    except MemdError:
        return None


def ping() -> subprocess.CompletedProcess[bytes]:
    """Call memd; where it is enabled that starts it."""
    words = ["busctl", "--system", "call", "org.memd1", "/org/memd1", "org.freedesktop.DBus.Peer", "Ping"]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)


def eventually(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something becomes true, soon."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


def level() -> str:
    """The level of memory pressure, as memd judges it."""
    return str(status()["pressure"]["level"])


def calm() -> None:
    """Wait until the stress of a test before is forgotten: memd lends little while it lasts."""
    deadline = time.monotonic() + 60
    while level() != "none":
        assert time.monotonic() < deadline, f"pressure is still {level()}"
        time.sleep(0.5)


def swap() -> list[str]:
    """The one line of /proc/swaps: path, kind, KiB, KiB used, priority."""
    lines = Path("/proc/swaps").read_text().splitlines()[1:]
    assert len(lines) == 1, lines
    return lines[0].split()


def swapped_out() -> int:
    """Bytes written to swap since boot."""
    fields = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(fields["pswpout"]) * 4096


@contextlib.contextmanager
def rules(text: str) -> Iterator[None]:
    """These sections of memd.conf beside the others, for the length of the block."""
    path = Path("/run/memd/memd.conf.d/memd-test.conf")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    _reload()
    try:
        yield
    finally:
        path.unlink()
        _reload()


def _reload() -> None:
    from memd.client import Memd

    with Memd() as memd:
        memd.reload()


@contextlib.contextmanager
def started(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the background, ended with the block; its output is a pipe."""
    words = list(map(str, command))
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout
    with process.stdout:
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_line(process: subprocess.Popen[bytes], what: str, seconds: float) -> str:
    """The first line with `what` in it that a started command prints; AssertionError when the time is up."""
    assert process.stdout
    deadline, seen, said = time.monotonic() + seconds, b"", ""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if ready.select(0.2):
                if not (byte := os.read(process.stdout.fileno(), 1)):
                    break  # it has ended
                seen += byte  # no more: what comes after the line is for the next wait
            if seen.endswith(b"\n"):
                line, seen = seen.decode(), b""
                said += line
                if what in line:
                    return line
    raise AssertionError(f"{process.args!r} did not print {what!r} in {seconds} s, but:\n{said}")


@contextlib.contextmanager
def hearing() -> Iterator[Callable[[str, float], str]]:
    """memd's signals: call it with a word and seconds to get the first line of `gdbus monitor` that has it."""
    with started("gdbus", "monitor", "--system", "--dest", "org.memd1") as monitor:
        wait_line(monitor, "is owned by", 10)
        yield lambda what, seconds: wait_line(monitor, what, seconds)
