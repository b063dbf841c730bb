"""Weak references on this kernel: eventfds stand for dma-bufs in epoll, memfds are the simulated heap's own."""

from __future__ import annotations

import errno
import mmap
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from memd.errors import BadKernelFile
from memd.kernel import simheap
from memd.kernel.weakref import Entry, EpollSet, InotifySet, WeakSet, parse

EPOLL = b"""pos:\t0
flags:\t02000002
mnt_id:\t16
ino:\t1038
tfd:        5 events:       18 data:    deadbeef12345  pos:0 ino:40e sdev:10
tfd:     1005 events:       18 data:                2  pos:0 ino:3 sdev:a
"""


def eventfd() -> int:
    return os.eventfd(0)


def memfd() -> int:
    return simheap.allocate(4096)


@pytest.fixture(params=[(EpollSet, eventfd), (InotifySet, memfd)], ids=["epoll", "inotify"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[WeakSet, Callable[[], int]]]:
    kind, make = request.param
    weak = kind()
    yield weak, make
    weak.close()


Pair = tuple[WeakSet, Callable[[], int]]


def test_alive_until_the_last_close(pair: Pair) -> None:
    weak, make = pair
    fd = make()
    weak.add(fd, 1 << 40)
    other = os.dup(fd)

    os.close(fd)
    assert weak.alive() == {1 << 40}
    os.close(other)
    assert weak.alive() == set()


def test_alive_in_flight_in_a_socket(pair: Pair) -> None:
    weak, make = pair
    fd = make()
    weak.add(fd, 7)
    near, far = socket.socketpair()
    with near, far:
        socket.send_fds(near, [b"x"], [fd])
        os.close(fd)
        assert weak.alive() == {7}

    assert weak.alive() == set()


def test_alive_in_a_child(pair: Pair) -> None:
    weak, make = pair
    fd = make()
    weak.add(fd, 8)
    here, there = socket.socketpair()
    child = os.fork()
    if not child:
        here.close()  # or the child would wait for its own end
        there.recv(1)
        os._exit(0)
    there.close()
    os.close(fd)
    assert weak.alive() == {8}

    here.close()
    os.waitpid(child, 0)
    assert weak.alive() == set()


def test_a_reused_fd_number_is_another_buffer(pair: Pair) -> None:
    weak, make = pair
    first = make()
    weak.add(first, 1)
    kept = os.dup(first)
    os.close(first)
    second = make()
    assert second == first
    weak.add(second, 2)

    os.close(kept)
    assert weak.alive() == {2}
    os.close(second)
    assert weak.alive() == set()


def test_many(pair: Pair) -> None:
    weak, make = pair
    fds = [make() for _ in range(500)]
    for number, fd in enumerate(fds):
        weak.add(fd, number)
    for fd in fds[::2]:
        os.close(fd)

    assert weak.alive() == set(range(1, 500, 2))
    for fd in fds[1::2]:
        os.close(fd)
    assert weak.alive() == set()


def test_a_mapping_keeps_a_memfd() -> None:
    weak, fd = InotifySet(), memfd()
    weak.add(fd, 3)
    mapping = mmap.mmap(fd, 4096)
    os.close(fd)
    assert weak.alive() == {3}

    mapping.close()
    assert weak.alive() == set()
    weak.close()


def test_a_lost_event_loses_nothing() -> None:
    """The list of watches is the truth: a queue that nobody read says nothing."""
    weak, fd = InotifySet(), memfd()
    weak.add(fd, 4)
    os.close(fd)
    weak._inotify.events()

    assert weak.alive() == set()
    weak.close()


def test_epoll_takes_no_memfd() -> None:
    weak, fd = EpollSet(), memfd()

    with pytest.raises(PermissionError) as caught:
        weak.add(fd, 1)

    assert caught.value.errno == errno.EPERM
    weak.close()
    os.close(fd)


def test_good_text() -> None:
    assert parse(EPOLL) == [(b"deadbeef12345", b"40e"), (b"2", b"3")]


def test_an_entry_is_known_by_number_and_inode() -> None:
    weak, fd = EpollSet(), eventfd()
    weak.add(fd, 1 << 40)

    assert weak.entries() == (Entry(1 << 40, os.fstat(fd).st_ino),)
    os.close(fd)
    weak.close()


def test_an_empty_set() -> None:
    assert parse(EPOLL[: EPOLL.index(b"tfd")]) == []


def test_missing_a_closed_set() -> None:
    weak = EpollSet()
    weak.close()

    with pytest.raises(ValueError, match="closed"):
        weak.alive()


@pytest.mark.parametrize("text", [EPOLL.replace(b"data:", b"date:"), EPOLL[:-20], b"tfd: x\n"])
def test_garbage_text(text: bytes) -> None:
    with pytest.raises(BadKernelFile):
        parse(text)
