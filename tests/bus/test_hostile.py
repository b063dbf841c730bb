"""Callers who mean harm and keep to the protocol: one quota for all their connections, nothing left behind whenever they end, and answers
for everybody else. What breaks the protocol is in test_attacks.py, who does not read in test_stall.py."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from memd.service.source import RESERVE
from tests.bus.buses import BUSES
from tests.bus.daemon import Daemon, call, running, target
from tests.bus.raw import Raw, Reply, memfds, until
from tests.swapsettings import KEEP

CAP = 50
CONFIG = f"""
[Zram]
Enabled=no
{KEEP}[Allow tests]
User={os.geteuid()}
Heaps=simulated
MaxBuffers={CAP}
ExemptFromPressure=yes
Priority=1
"""
ALLOCATE = ("sta{sv}", ["simulated", 4096, {}])


@pytest.fixture(scope="module", params=sorted(BUSES))
def memd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("memd")
    with BUSES[request.param](directory) as bus, running(bus.address, directory, config=CONFIG) as daemon:
        yield daemon
        assert daemon.process.poll() is None
        assert "Traceback" not in daemon.log.read_text()


@pytest.fixture(autouse=True)
def unharmed(memd: Daemon) -> Iterator[None]:
    """After each attack nothing is lent, no fd is left in memd, and the next caller is served."""
    with memd.client() as client:
        call(client, "Allocate", "sta{sv}", "simulated", 4096, {}).close()
    before = memd.fds()
    yield
    with memd.client() as client:
        assert until(lambda: lent(client) == 0)
        reply = call(client, "Allocate", "sta{sv}", "simulated", 4096, {})
        assert reply.error_name == "", reply
        reply.close()
    assert memd.settles_at(before)


def lent(client: Raw) -> int:
    return len(call(client, "ListBuffers").body[0])


def test_who_floods_memd_with_fds_costs_no_newcomer_his_answer(memd: Daemon) -> None:
    """What waits for memd in the bus is limited in fds, and the bus's own answers about callers bring one each."""
    over = threading.Event()

    def flood() -> None:
        with memd.client() as client, memfds(16) as fds:
            while not over.is_set():
                for _ in range(16):
                    client.start(*target("Allocate"), *ALLOCATE, fds=fds)
                for reply in client.replies(16):
                    assert reply.error_name.endswith(".InvalidArgs")

    floods = [threading.Thread(target=flood) for _ in range(4)]
    for thread in floods:
        thread.start()
    try:
        for _ in range(100):
            with memd.client() as newcomer:
                reply = call(newcomer, "Allocate", "sta{sv}", "simulated", 4096, {})
                assert reply.error_name == "", reply
                reply.close()
    finally:
        over.set()
        for thread in floods:
            thread.join()


def test_one_quota_for_all_connections(memd: Daemon) -> None:
    """1,000 requests at once through 100 connections of as many threads: exactly as many buffers as one connection would get."""
    replies: list[Reply] = []
    start = threading.Barrier(100)

    def borrow() -> None:
        with memd.client() as client:
            start.wait()
            for _ in range(10):
                client.start(*target("Allocate"), *ALLOCATE)
            replies.extend(client.replies(10))

    threads = [threading.Thread(target=borrow) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = Counter(reply.error_name for reply in replies)
    refused = next(reply for reply in replies if reply.error_name)
    for reply in replies:
        reply.close()

    assert told == {"": CAP, "org.memd1.Error.QuotaExceeded": 1000 - CAP}
    assert refused.body == [f"rule tests: the owner may have {CAP} buffers, {CAP} buffers in use, 1 buffer asked for"]


def test_gone_at_every_step(memd: Daemon) -> None:
    """Cut off after each part of a call, and at each moment between a call and its reply."""
    with memd.client() as client:
        destination, path, interface, member = target("Allocate")
        _, data = client.message(
            destination=destination, path=path, interface=interface, member=member, signature=ALLOCATE[0], body=ALLOCATE[1]
        )  # fmt: skip
    for end in [*range(0, len(data), 7), len(data)]:
        with memd.client() as client:
            client.send(data[:end])
    for count in range(20):
        with memd.client() as client:
            for _ in range(count):
                client.send(data)
            if count % 2:
                client.sock.recv(count)  # a part of a reply, and of its fds what came with it


def test_gone_with_the_buffer_in_hand(memd: Daemon) -> None:
    """The connection ends first, then the fd; or the fd is passed on, and whoever got it lets go."""
    near, far = socket.socketpair()
    with memd.client() as client:
        first, second = (
            call(client, "Allocate", *ALLOCATE[:1], *ALLOCATE[1]),
            call(client, "Allocate", *ALLOCATE[:1], *ALLOCATE[1]),
        )
        socket.send_fds(near, [b"x"], second.fds)
    with memd.client() as other:
        assert lent(other) == 2
        first.close()
        second.close()
        assert lent(other) == 1
        near.close()
        far.close()
        assert lent(other) == 0


def test_in_sockets_within_sockets(memd: Daemon) -> None:
    """A buffer in flight in a socket that is in flight in a socket that is in flight in itself: it counts until the kernel collects it."""
    inner, outer = socket.socketpair(), socket.socketpair()
    with memd.client() as client:
        reply = call(client, "Allocate", *ALLOCATE[:1], *ALLOCATE[1])
        socket.send_fds(inner[0], [b"x"], reply.fds)
        reply.close()
        socket.send_fds(outer[0], [b"x"], [inner[0].fileno(), inner[1].fileno()])
        for end in inner:
            end.close()
        assert lent(client) == 1
        socket.send_fds(outer[0], [b"x"], [outer[0].fileno(), outer[1].fileno()])
        assert lent(client) == 1
        for end in outer:
            end.close()
        for end in socket.socketpair():  # the kernel looks for cycles when sockets close
            end.close()
        assert until(lambda: lent(client) == 0)


def test_sockets_full_of_fds_sent_to_memd(memd: Daemon) -> None:
    """What nobody asked for is closed, and with it what is in it."""
    with memd.client() as client:
        for _ in range(20):
            ends = socket.socketpair()
            socket.send_fds(ends[0], [b"x"], [client.sock.fileno(), ends[1].fileno(), ends[0].fileno()])
            destination, path, interface, member = target("GetStatus")
            _, data = client.message(
                destination=destination, path=path, interface=interface, member=member, signature="a{sv}", body=[{}],
                unix_fds=[ends[0].fileno(), ends[1].fileno()],
            )  # fmt: skip
            client.send(data, [ends[0].fileno(), ends[1].fileno()])
            for end in ends:
                end.close()
        call(client, "GetStatus")


@pytest.mark.parametrize(
    "label", ["a\nb", "\x1b]0;owned\x07", "\u202egnp", "x" * 65, "x" * 60_000, "\x7f", "memd:camera.service:\n"]
)
def test_labels_that_are_none(memd: Daemon, label: str) -> None:
    """Refused in few words, whatever their size."""
    with memd.client() as client:
        reply = call(client, "Allocate", "sta{sv}", "simulated", 4096, {"name": client.library.Variant("s", label)})

    assert reply.error_name == "org.freedesktop.DBus.Error.InvalidArgs"
    assert len(reply.body[0]) < 400
    assert reply.body[0].isprintable()


@pytest.mark.parametrize("heap", ["../../etc/passwd", "simulated\n", "", "/dev/mem", ".", "x" * 60_000, "\u202e"])
def test_heaps_that_are_none(memd: Daemon, heap: str) -> None:
    with memd.client() as client:
        reply = call(client, "Allocate", "sta{sv}", heap, 4096, {})

    assert reply.error_name == "org.freedesktop.DBus.Error.InvalidArgs"
    assert len(reply.body[0]) < 400


def test_a_label_that_claims_another_owner(memd: Daemon) -> None:
    """A label is a label: the owner stands in a column of its own."""
    with memd.client() as client:
        name = client.library.Variant("s", "camera.service owner=uid:0")
        reply = call(client, "Allocate", "sta{sv}", "simulated", 4096, {"name": name})
        [row] = call(client, "ListBuffers").body[0]
        reply.close()

    assert row["owner"].value == f"uid:{os.geteuid()}"
    assert row["name"].value == "camera.service owner=uid:0"


def test_no_fd_to_spare(memd: Daemon) -> None:
    """memd keeps a reserve: it refuses buffers with a word, answers all else, and lends again when there are fds."""
    pid = memd.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with memd.client() as client:
        used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + RESERVE - 2, hard))
        try:
            refused = call(client, "Allocate", *ALLOCATE[:1], *ALLOCATE[1])
            status, listed = call(client, "GetStatus"), call(client, "ListBuffers")
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    assert (refused.error_name, refused.fds) == ("org.memd1.Error.Busy", [])
    assert "memd has no file descriptor to spare; ask again" in refused.body[0]
    assert (status.error_name, listed.error_name) == ("", "")


def test_who_is_at_his_cap_and_keeps_asking(memd: Daemon) -> None:
    """From many connections without pause; whoever gives back gets the room, and all others an answer each."""
    with memd.client() as client:
        held = [call(client, "Allocate", *ALLOCATE[:1], *ALLOCATE[1]) for _ in range(CAP)]
        for _ in range(100):
            client.start(*target("Allocate"), *ALLOCATE)
        with memd.client() as other:
            assert all(call(other, "GetStatus").error_name == "" for _ in range(5))
        told = Counter(reply.error_name for reply in client.replies(100))
        held.pop().close()
        again = call(client, "Allocate", *ALLOCATE[:1], *ALLOCATE[1])
        for reply in [*held, again]:
            reply.close()

    assert told == {"org.memd1.Error.QuotaExceeded": 100}
    assert again.error_name == ""
