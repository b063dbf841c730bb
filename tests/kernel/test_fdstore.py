"""The fd store's protocol: what a service reads at its start, and what it sends."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memd.kernel import fdstore
from memd.kernel.fdstore import FdStore, receive

TREE = Path(__file__).parents[2]
PROGRAM = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
os.environ |= {"LISTEN_PID": sys.argv[3] or str(os.getpid()), "LISTEN_FDS": sys.argv[4], "LISTEN_FDNAMES": sys.argv[2]}
from memd.kernel import fdstore
found = fdstore.receive()
print([(one.name, one.fd, os.get_inheritable(one.fd)) for one in found], [name for name in os.environ if "LISTEN" in name])
"""


def started(names: str, pid: str = "", count: str = "1") -> str:
    """What a process sees that is given one fd."""
    with open("/dev/null", "rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(file.fileno()), names, pid, count],
            pass_fds=[file.fileno()],
            capture_output=True,
            text=True,
            cwd=TREE,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_good_what_is_passed_is_taken_once_and_inherited_by_nobody() -> None:
    assert started("books") == "[('books', 3, False)] []"


def test_whether_fds_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fdstore.tells_apart() == (not lacks_kcmp())
    monkeypatch.setattr(fdstore, "KCMP", dict.fromkeys(fdstore.KCMP, 9999))  # as on a kernel without it
    assert not fdstore.tells_apart()
    monkeypatch.setattr(fdstore, "KCMP", {})
    assert fdstore.tells_apart()


def lacks_kcmp() -> bool:
    config = Path("/proc/config.gz")
    return config.exists() and b"\nCONFIG_KCMP=y" not in gzip.decompress(config.read_bytes())


def test_missing() -> None:
    assert receive({}) == ()
    assert receive({"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "books"}) == ()


@pytest.mark.parametrize(
    ("names", "pid", "count", "seen"),
    [
        ("books", "1", "1", "[] []"),
        ("books", "", "many", "[] []"),
        ("books", "", "-1", "[] []"),
        ("a:b", "", "1", "[('unknown', 3, False)] []"),
        ("books:gone", "", "2", "[('books', 3, False)] []"),
        ("books", "", "99999999999999", "[('unknown', 3, False)] []"),
    ],
)
def test_garbage_never_ends_a_start(names: str, pid: str, count: str, seen: str) -> None:
    assert started(names, pid, count) == seen


@pytest.mark.parametrize("abstract", [False, True])
def test_an_fd_is_sent_with_its_name(tmp_path: Path, abstract: bool) -> None:
    address = f"@memd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, open("/dev/null", "rb") as file:
        systemd.bind("\0" + address[1:] if abstract else address)
        store = FdStore(address)
        store.keep("epoll.7", file.fileno())
        store.drop("epoll.7")
        data, [fd], _, _ = socket.recv_fds(systemd, 4096, 4)
        removal = systemd.recv(4096)

    assert data == b"FDSTORE=1\nFDNAME=epoll.7\nFDPOLL=0"
    assert removal == b"FDSTOREREMOVE=1\nFDNAME=epoll.7"
    assert os.readlink(f"/proc/self/fd/{fd}") == "/dev/null"
    os.close(fd)


def test_without_systemd_nothing_is_sent() -> None:
    store = FdStore(None)
    store.keep("books", 0)
    store.drop("books")

    assert not store.there


def fill(store: FdStore) -> None:
    for _ in range(100_000):
        store.drop("epoll.1")


def test_a_systemd_that_does_not_read_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memd.kernel.fdstore.PATIENCE", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        store = FdStore(str(tmp_path / "notify"))
        with pytest.raises(OSError, match="notify"):
            fill(store)
        with pytest.raises(OSError, match="notify"):
            store.keep("epoll.1", systemd.fileno())


def test_a_systemd_that_is_gone_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="notify"):
        FdStore(str(tmp_path / "notify")).keep("books", 0)
