"""memctl in this process, talking to a peer that plays memd with recorded answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dbus_next import Message, Variant

from memd.cli.main import main
from tests.cli import machines
from tests.client.conftest import Out, Peer, error, gone, memfd, peer, pressure, reply

__all__ = ["peer"]
Memctl = Callable[..., tuple[int, str, str]]
KINDS = {bool: "b", int: "t", float: "d", str: "s"}


def variant(value: Any) -> Variant:
    """As the daemon says it: a{sv} all the way down."""
    if isinstance(value, dict):
        return Variant("a{sv}", {key: variant(item) for key, item in value.items()})
    if isinstance(value, list):
        rows = value and isinstance(value[0], dict)
        return Variant("aa{sv}", [variant(item).value for item in value]) if rows else Variant("as", value)
    if isinstance(value, int) and value < 0:
        return Variant("x", value)
    return Variant(KINDS[type(value)], value)


class Machine:
    """What the peer answers; tests change it. `refusal`: the error of Allocate."""

    def __init__(self) -> None:
        self.status: Any = machines.BOARD
        self.buffers: Any = machines.BUFFERS
        self.refusal: tuple[str, str] | None = None
        self.allowed = True
        self.asked: dict[str, int] = {}

    def __call__(self, call: Message) -> list[Out]:
        return {
            "GetStatus": self._status,
            "ListBuffers": self._buffers,
            "Allocate": self._allocate,
            "CanAllocate": self._explain,
        }[call.member](call)

    def _status(self, call: Message) -> list[Out]:
        return [reply(call, "a{sv}", variant(self.status).value), pressure("critical"), pressure("none"), gone()]

    def _buffers(self, call: Message) -> list[Out]:
        rows = [{**variant(row).value, "time": Variant("t", int(row["time"] * 1e6))} for row in self.buffers]
        return [reply(call, "aa{sv}a{sv}", rows, {})]

    def _explain(self, call: Message) -> list[Out]:
        self.asked = {key: value.value for key, value in call.body[2].items()}
        info = {"heap": "reserved", "size": call.body[1], "owner": "uid:7", "why": "no rule\x1b", "reason": "because"}
        return [reply(call, "ba{sv}", self.allowed, variant(info).value)]

    def _allocate(self, call: Message) -> list[Out]:
        if self.refusal:
            return [error(call, *self.refusal)]
        info = {"heap": Variant("s", "system"), "size": Variant("t", call.body[1])}
        return [reply(call, "hta{sv}", 0, 17, info, fds=(memfd(),))]


@pytest.fixture
def machine(peer: Peer) -> Machine:
    machine = Machine()
    peer.handler = machine
    return machine


@pytest.fixture
def memctl(
    peer: Peer, machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Memctl:
    """(exit status, stdout, stderr)"""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", peer.address)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LC_ALL", "C")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run
