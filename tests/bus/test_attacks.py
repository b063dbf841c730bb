"""What any user of a system bus can do to memd, and what it must not do to memd: hold its fds, grow it, freeze it, or end it.

Each attack goes through dbus-daemon and dbus-broker against the real process, with both libraries; then memd answers the next caller."""

from __future__ import annotations

import itertools
import os
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from memd.bus.wire import MAX_BODY
from tests.bus.buses import BUSES, Bus
from tests.bus.conftest import LIBRARIES
from tests.bus.daemon import Daemon, call, running, target
from tests.bus.raw import BUS, NO_REPLY, Raw, memfds, to_memd, until

MIB = 1 << 20
GROWTH = 24 * MIB
ALLOCATE = ("sta{sv}", ["simulated", 4096, {}])


@pytest.fixture(scope="module", params=[f"{bus}-{library}" for bus in sorted(BUSES) for library in LIBRARIES])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    kind, library = request.param.split("-")
    directory = tmp_path_factory.mktemp("memd")
    with BUSES[kind](directory) as bus, running(bus.address, directory, library) as daemon:
        yield daemon
        assert daemon.process.poll() is None


@pytest.fixture
def memd(shared: Daemon) -> Iterator[Daemon]:
    """A memd that must be as it was before when the test is over: alive, answering, with no fd and little memory more."""
    with shared.client() as client:
        call(client, "Allocate", *ALLOCATE[:1], *ALLOCATE[1]).close()
        call(client, "ListBuffers").close()
    assert until(lambda: shared.fds() == shared.fds())
    fds, memory = shared.fds(), shared.memory()
    shared.forget_peak()
    yield shared
    assert_serves(shared)
    assert shared.settles_at(fds), os.popen(f"ls -l /proc/{shared.process.pid}/fd").read()
    assert shared.memory() - memory < GROWTH
    assert "Traceback" not in shared.log.read_text()


def assert_serves(memd: Daemon) -> None:
    with memd.client() as client:
        reply = call(client, "Allocate", "sta{sv}", "simulated", 8192, {})
        assert reply.error_name == "", reply
        assert os.fstat(reply.fds[0]).st_size == 8192
        reply.close()


def to(member: str, interface: str = "org.memd1.Manager", path: str = "/org/memd1") -> dict[str, Any]:
    return {"destination": "org.memd1", "path": path, "interface": interface, "member": member}


FOREIGN: dict[str, dict[str, Any]] = {
    "a method": {**to("GetStatus"), "signature": "a{sv}", "body": [{}]},
    "a method without reply": {**to("GetStatus"), "signature": "a{sv}", "body": [{}], "flags": NO_REPLY},
    "one that gives fds": {**to("Allocate"), "signature": "sta{sv}", "body": ["simulated", 4096, {}]},
    "wrong types": {**to("Allocate"), "signature": "as", "body": [["x"]]},
    "an fd in the arguments": {**to("Allocate"), "signature": "h", "body": [0]},
    "no such method": to("NoSuch"),
    "no such interface": to("Allocate", "no.such.Interface"),
    "no such object": to("Introspect", "org.freedesktop.DBus.Introspectable", "/no/such"),
    "the object manager": to("GetManagedObjects", "org.freedesktop.DBus.ObjectManager"),
    "a signal": {**to("Told", "some.Signal"), "kind": 4},
    "a body too big": {**to("Allocate"), "signature": "s", "body": ["x" * (MAX_BODY + 1)]},
    "a reply to nothing": {"destination": "org.memd1", "kind": 2, "reply_serial": 77, "signature": "s", "body": ["x"]},
}


def test_fds_that_nobody_asked_for(memd: Daemon) -> None:
    """4 fds in each of 50 messages of every kind."""
    with memd.client() as client, memfds(4) as mine:
        before = memd.fds()
        for kind, fields in FOREIGN.items():
            for _ in range(50):
                _, data = client.message(unix_fds=mine, **fields)
                client.send(data, mine)
            client.call_bus("GetId")
            call(client, "GetStatus")
            assert memd.settles_at(before), kind


@pytest.mark.parametrize("element", ["au", "v"])
def test_a_body_of_30_mib_is_refused_without_being_held(memd: Daemon, element: str) -> None:
    size = 30 * MIB
    part = struct.pack("<III", 8, 1, 2) if element == "au" else b"\1y\0\7"
    with memd.client() as client:
        body = struct.pack("<I", size // len(part) * len(part)) + part * (size // len(part))
        reply = client.wait(client.start_bare(to_memd("Allocate"), f"a{element}", body))

    assert reply.error_name == "org.memd1.Error.LimitsExceeded"
    assert memd.peak() - memd.memory() < 8 * MIB


@pytest.mark.parametrize("where", ["header", "variants"])
def test_foreign_signatures_do_not_stay(memd: Daemon, where: str) -> None:
    """4,000 of 255 characters: a library that keeps them grows by more than 150 MiB."""
    names = ("".join(letters) for letters in itertools.product("nqiuxtd", repeat=5))
    signatures = (f"a({name * 50}ii)" for name in names)
    empty = struct.pack("<I", 0)
    with memd.client() as client:
        for _ in range(40):
            if where == "header":
                calls = [(next(signatures), empty + bytes(4)) for _ in range(100)]
            else:
                calls = [("sta{sv}", _options(next(signatures) for _ in range(100)))]
            for signature, body in calls:
                client.start_bare(to_memd("Allocate"), signature, body)
            for reply in client.replies(len(calls)):
                assert reply.error_name == "org.freedesktop.DBus.Error.InvalidArgs", reply

    assert memd.peak() - memd.memory() < GROWTH


def _options(signatures: Iterator[str]) -> bytes:
    """Body of Allocate: a heap, a size, and options whose values are empty arrays of these types."""
    start = struct.pack("<I", 9) + b"simulated\0" + bytes(2) + struct.pack("<Q", 4096)
    entries = b""
    for number, signature in enumerate(signatures):
        entries += bytes(-len(entries) & 7) + struct.pack("<I", 4) + f"{number:04}".encode() + b"\0"
        entries += bytes([len(signature)]) + signature.encode() + b"\0"
        entries += bytes(-len(entries) & 3) + bytes(4)
        entries += bytes(-len(entries) & 7)  # the elements would be structs, and begin at 8
    return start + struct.pack("<I", len(entries)) + bytes(4) + entries


def test_calls_without_reply_that_would_give_an_fd(memd: Daemon) -> None:
    with memd.client() as client:
        before = memd.fds()
        _, data = client.message(**to("Allocate"), signature="sta{sv}", body=ALLOCATE[1], flags=NO_REPLY)
        for _ in range(10_000):
            client.send(data)
        client.call_bus("GetId")
        assert memd.fds() <= before + 8


@pytest.mark.parametrize("member", ["Allocate", "GetStatus", "NoSuch"])
def test_others_are_served_during_a_flood(memd: Daemon, member: str) -> None:
    """20,000 without reply from one, as fast as the bus takes them; meanwhile others ask and are answered."""
    signature, body = ALLOCATE if member == "Allocate" else ("a{sv}", [{}])

    def flood() -> None:
        with memd.client() as client:
            _, data = client.message(**to(member), signature=signature, body=body, flags=NO_REPLY)
            for _ in range(200):
                client.send(data * 100)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(5):
            assert_serves(memd)
    finally:
        thread.join()


def test_many_who_do_not_read_their_replies(memd: Daemon) -> None:
    """40 connections with 400 Allocate each. dbus-daemon may stop reading from memd until they go: memd must be bounded meanwhile."""
    clients = [memd.client() for _ in range(40)]
    _, data = clients[0].message(**to("Allocate"), signature="sta{sv}", body=ALLOCATE[1])
    before = memd.fds()
    for client in clients:
        client.sock.setblocking(False)
        _flood(client, data, 400)
    most = max(memd.fds() for _ in range(200))
    for client in clients:
        client.close()

    assert most - before <= 1024 + 64


def _flood(client: Raw, data: bytes, count: int) -> None:
    """As many whole messages as the bus takes."""
    for serial in range(1000, 1000 + count):
        numbered = data[:8] + struct.pack("<I", serial) + data[12:]
        try:
            while numbered:
                numbered = numbered[client.sock.send(numbered) :]
        except BlockingIOError:
            return


def test_ten_thousand_calls_without_reading(memd: Daemon) -> None:
    with memd.client() as client:
        client.sock.setblocking(False)
        _, data = client.message(**to("GetStatus"), signature="a{sv}", body=[{}])
        _flood(client, data, 10_000)
        assert_serves(memd)


def test_replies_due_together_to_callers_who_have_gone(memd: Daemon) -> None:
    for _ in range(10):
        with memd.client() as client:
            for _ in range(100):
                client.start(*target("Allocate"), *ALLOCATE)


def test_header_fields_that_nobody_knows(memd: Daemon) -> None:
    with memd.client() as client:
        for code, kind in ((100, "s"), (255, "o"), (77, "g")):
            fields = [
                (code, kind, "/unknown" if kind != "g" else "a{sv}"),
                *to_memd("Ping", "org.freedesktop.DBus.Peer"),
            ]
            reply = client.wait(client.start_bare(fields, "", b""))
            assert (reply.error_name, reply.kind) == ("", 2)


def test_a_forged_end_of_another_caller(memd: Daemon) -> None:
    """NameOwnerChanged counts from the bus only; forged and malformed ones change nothing for the client that they name."""
    with memd.client() as victim, memd.client() as forger:
        for signature, body in (("sss", [victim.name, victim.name, ""]), ("s", ["x"]), ("", [])):
            _, data = forger.message(
                kind=4, destination="org.memd1", path="/org/freedesktop/DBus", interface=BUS, member="NameOwnerChanged",
                signature=signature, body=body,
            )  # fmt: skip
            forger.send(data)
        assert call(victim, "ListBuffers").error_name == ""


BROKEN = {
    "empty variant": ("v", b"\0\0"),
    "empty variant in a variant": ("v", b"\1v\0\0\0"),
    "empty variant in options": ("a{sv}", struct.pack("<III", 8, 0, 1) + b"k\0\0\0"),
    "two types in a variant": ("v", b"\2ii\0" + bytes(8)),
    "no UTF-8": ("s", struct.pack("<I", 2) + b"\xff\xfe\0"),
    "no UTF-8 in a variant": ("v", b"\1s\0\0" + struct.pack("<I", 2) + b"\xff\xfe\0"),
    "NUL inside": ("s", struct.pack("<I", 3) + b"a\0b\0"),
    "string too long": ("s", struct.pack("<I", 200) + b"a\0"),
    "array too long": ("at", struct.pack("<II", 4000, 0) + bytes(8)),
    "more than the signature says": ("s", struct.pack("<I", 1) + b"a\0zz"),
    "no body": ("s", b""),
}


def test_what_breaks_the_rules_never_arrives(memd: Daemon) -> None:
    """The bus ends the sender, so that no library sees it: dbus_fast would die of some (`memd/bus/library.py`)."""
    for kind, (signature, body) in BROKEN.items():
        with memd.client() as client, pytest.raises((EOFError, ConnectionError)):
            pytest.fail(f"{kind}: {client.wait(client.start_bare(to_memd('Allocate'), signature, body))}")


def test_the_broken_ones_are_well_made_but_for_one_thing(memd: Daemon) -> None:
    options = struct.pack("<III", 10, 0, 1) + b"k\0\1y\0\7"
    with memd.client() as client:
        for signature, body in (("v", b"\1v\0\1y\0\7"), ("a{sv}", options)):
            reply = client.wait(client.start_bare(to_memd("Allocate"), signature, body))
            assert reply.error_name == "org.freedesktop.DBus.Error.InvalidArgs"


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_bus_ends(bus: Bus, library: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A clean end with status 1, from which systemd starts memd again; what was queued is closed."""
    with running(bus.address, tmp_path_factory.mktemp("memd"), library) as memd:
        with memd.client() as client:
            client.start(*target("Allocate"), *ALLOCATE)
        bus.process.kill()
        assert memd.process.wait(10) == 1
        log = memd.log.read_text()
    assert "the bus is gone" in log
    assert "Traceback" not in log
