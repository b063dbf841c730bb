"""The main job: a program without privileges borrows a buffer of a real heap; who may not is refused by name."""

import json
import os
import sys
from pathlib import Path

import people
import pytest
from people import MEMBER, MEMCTL_REFUSED, STRANGER, buffers, output

from memd.client import Memd

pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.usefixtures("users")]

HERE = Path(__file__).parent
REFERENCE = HERE.parent / "reference"
MANAGER = ("org.memd1", "/org/memd1", "org.memd1.Manager")


def call(user: str, *words: str) -> str:
    """Call memd by busctl as `user`; the error's text if it is refused."""
    done = people.run(user, "busctl", "--system", "call", *MANAGER, *words)
    return "" if done.returncode == 0 else done.stderr


def test_a_member_uses_a_buffer_as_the_vendors_page_does() -> None:
    done = people.run(MEMBER, "memctl", "alloc", "system", "1M", "--", REFERENCE)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["ok 1048576"]), done.stderr


def test_a_member_hands_a_buffer_to_another_process() -> None:
    done = people.run(MEMBER, sys.executable, HERE / "hand_over.py")
    assert (done.returncode, done.stdout) == (0, "handed over\n"), done.stderr


def test_a_member_cannot_open_the_heap_itself() -> None:
    assert "Permission denied" in people.run(MEMBER, "cat", "/dev/dma_heap/system").stderr


def test_a_stranger_is_refused_by_name() -> None:
    done = people.run(STRANGER, "memctl", "alloc", "system", "1M", "--", "true")
    assert done.returncode == MEMCTL_REFUSED, done.stderr
    error = people.run(
        STRANGER, "gdbus", "call", "--system", "-d", MANAGER[0], "-o", MANAGER[1], "-m", f"{MANAGER[2]}.Allocate", "system",
        "uint64 4096", "{}",
    ).stderr  # fmt: skip
    assert "org.memd1.Error.NotAllowed" in error


@pytest.mark.needs("heap:reserved")
def test_a_member_of_the_group_gets_the_system_heap_only() -> None:
    assert people.run(MEMBER, "memctl", "alloc", "contiguous", "1M", "--", "true").returncode == MEMCTL_REFUSED


def test_nobody_but_root_owns_the_name() -> None:
    bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    request = ("busctl", "--system", "call", *bus, "RequestName", "su", "org.memd1", "0")
    output("systemctl", "stop", "memd")
    try:
        tried = [people.run(user, *request) for user in (MEMBER, STRANGER)]
    finally:
        output("systemctl", "start", "memd")
    assert all(done.returncode != 0 for done in tried)
    assert all("not allowed to own" in done.stderr or "denied" in done.stderr for done in tried)


@pytest.mark.parametrize("method", [
    ["Reload", "a{sv}", "0"],
    ["WriteOff", "ta{sv}", "1", "0"],
])  # fmt: skip
def test_administrators_methods_are_theirs(method: list[str]) -> None:
    assert "denied" in call(MEMBER, *method).lower()


def test_memd_keeps_no_buffer_for_itself() -> None:
    with Memd() as memd, memd.allocate("system", 1 << 20):
        pid = output("systemctl", "show", "-P", "MainPID", "memd.service").strip()
        kept = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    assert kept
    assert [target for target in kept if "dmabuf" in target] == []


def test_listings_show_each_caller_his_own() -> None:
    words = people.words(MEMBER, "memctl", "alloc", "system", "3M", "--", "sh", "-c", "echo held; exec sleep 60")
    with people.started(*words) as holder:
        people.wait_line(holder, "held", 20)
        assert [row["size"] for row in buffers()] == [3 << 20]
        seen = {
            user: json.loads(people.run(user, "memctl", "buffers", "--json").stdout) for user in (MEMBER, STRANGER)
        }
        assert ([row["size"] for row in seen[MEMBER]], seen[STRANGER]) == ([3 << 20], [])
        output("pkill", "-u", MEMBER, "-x", "sleep")
        holder.wait(20)
    assert buffers() == []
