"""C clients that borrow by the bus's own messages and hide what they have: each byte is charged while they live, `memctl buffers --holders`
finds who has it wherever a process does, and all is back when they die, also after memd was killed meanwhile."""

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import people
import pytest
from dmabuf import buffer
from people import MEMBER

from memd.kernel import dmabuf

HIDER = Path(__file__).parents[1] / "hider"
SIZE = 64 << 10
FORGED = b"memd:0:root\nmemd:1:of another"
# WAY -> what of (fds, maps) its process shows; None: no process has it
WAYS: dict[str, tuple[int, int] | None] = {
    "thread": (1, 0),
    "headless": (1, 0),
    "headless-map": (0, 1),
    "map": (0, 1),
    "forged": (1, 0),
    "flight": None,
}
pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.usefixtures("users"), pytest.mark.timeout(180)]


def rule(heap: str) -> str:
    return f"[Allow memd-test]\nUser={MEMBER}\nHeaps={heap}\nMaxBytes={len(WAYS) * SIZE >> 10}K\n"


def words(way: str, heap: str) -> list[str]:
    """setpriv becomes the program, so that the process is known."""
    one = pwd.getpwnam(MEMBER)
    who = [f"--reuid={one.pw_uid}", f"--regid={one.pw_gid}", "--init-groups"]
    return ["setpriv", *who, "--", str(HIDER), way, heap, str(SIZE)]


@contextlib.contextmanager
def hiding(way: str, heap: str = "system") -> Iterator[int]:
    """The process that has a buffer then."""
    with people.started(*words(way, heap)) as process:
        people.wait_line(process, "hidden", 30)
        yield process.pid


def refused(heap: str = "system") -> bool:
    """Whether one more is refused, for the cap."""
    with people.started(*words("forged", heap)) as process:
        assert process.stdout
        return b"QuotaExceeded" in process.stdout.readline() + process.stdout.read1()


def shown() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lent, and others'."""
    told = people.memctl("buffers", "--holders")
    assert told["unseen"] == []
    return told["buffers"], told["others"]


def holds(row: dict[str, Any]) -> tuple[int, int, int] | None:
    """Process, fds and maps of the only holder."""
    if not row["holders"]:
        return None
    [one] = row["holders"]
    assert one["command"] == "hider"
    return one["pid"], len(one["fds"]), one["maps"]


@pytest.mark.long
def test_whoever_hides_is_charged_found_and_settled() -> None:
    with people.rules(rule("system")), contextlib.ExitStack() as all_of_them:
        wanted = set[tuple[int, int, int] | None]()
        for way, what in WAYS.items():
            pid = all_of_them.enter_context(hiding(way))
            wanted.add(what and (pid, *what))
        assert refused()
        for _ in range(2):
            rows = people.buffers()
            assert [(row["size"], row["state"]) for row in rows] == [(SIZE, "lent")] * len(WAYS)
            assert {row["uid"] for row in rows} == {pwd.getpwnam(MEMBER).pw_uid}
            people.kill_memd()
        assert refused()
        lent, others = shown()
        assert {holds(row) for row in lent} == wanted
        assert others == []
        assert [row["name"] for row in lent if "of another" in row.get("name", "")] == [FORGED.decode()]
    assert people.eventually(lambda: people.buffers() == [])


@pytest.mark.needs("available_pages")
def test_a_path_alone_is_charged_and_is_told_whose_it_is() -> None:
    with people.rules(rule("contiguous")):
        with hiding("path", "contiguous") as pid:
            assert [(row["size"], row["state"]) for row in people.buffers()] == [(SIZE, "releasing")]
            [row], _ = shown()
            assert [(one["pid"], one["fds"], len(one["paths"])) for one in row["holders"]] == [(pid, [], 1)]
        assert people.eventually(lambda: people.buffers() == [])


def test_a_forged_name_makes_no_buffer_of_memds() -> None:
    with buffer("system", SIZE) as fd:
        dmabuf.set_name(fd, FORGED)
        lent, [one] = shown()
        assert (lent, one["size"], one["name"]) == ([], SIZE, FORGED.decode())
        assert [(who["pid"], who["fds"]) for who in one["holders"]] == [(os.getpid(), [fd])]
        lines = subprocess.run(["memctl", "buffers", "--holders"], capture_output=True, check=True).stdout.splitlines()
        assert len(lines) == 2
        assert not lines[1].startswith(b"memd:")
    assert shown() == ([], [])
