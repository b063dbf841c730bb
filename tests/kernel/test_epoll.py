"""memd.kernel.epoll: TCP's urgent data stands for a trigger here; it is EPOLLPRI as well. The real trigger is in tests/host."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import tempfile
from collections.abc import Iterator

import pytest

from memd.kernel.epoll import Urgent


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    with client, accepted:
        yield client, accepted


async def readable(urgent: Urgent) -> None:
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(urgent.fileno(), ready.set)
    try:
        await asyncio.wait_for(ready.wait(), 10)
    finally:
        loop.remove_reader(urgent.fileno())


async def test_an_event_wakes_the_loop(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    urgent = Urgent(os.dup(receiver.fileno()))
    try:
        for _ in range(3):
            sender.send(b"!", socket.MSG_OOB)
            await readable(urgent)
            assert urgent.take()
            receiver.recv(1, socket.MSG_OOB)
    finally:
        urgent.close()


async def test_a_source_that_is_gone_says_so(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    urgent = Urgent(os.dup(receiver.fileno()))
    try:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender.close()  # a reset: EPOLLERR
        await readable(urgent)
        assert not urgent.take()
    finally:
        urgent.close()


def test_plain_data_is_no_event(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    urgent = Urgent(os.dup(receiver.fileno()))
    try:
        sender.send(b"x")
        assert receiver.recv(1, socket.MSG_PEEK) == b"x"
        assert select.select([urgent.fileno()], [], [], 0) == ([], [], [])
    finally:
        urgent.close()


def test_a_file_that_cannot_be_polled_is_closed() -> None:
    with tempfile.TemporaryFile() as file:
        fd = os.dup(file.fileno())
        with pytest.raises(PermissionError):
            Urgent(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
