from __future__ import annotations

import pytest

from memd.client import address
from memd.client.errors import Unreachable
from memd.errors import InvalidArgs


def test_system_bus_is_the_default() -> None:
    assert address.resolve(None, {}) == "unix:path=/run/dbus/system_bus_socket"
    assert address.resolve("", {}) == address.resolve("system", {}) == address.SYSTEM


def test_environment_names_the_buses() -> None:
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/s", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/u"}

    assert address.resolve("system", environment) == "unix:path=/s"
    assert address.resolve("session", environment) == "unix:path=/u"
    assert address.resolve("session", {"XDG_RUNTIME_DIR": "/run/user/7"}) == "unix:path=/run/user/7/bus"


def test_no_session() -> None:
    with pytest.raises(Unreachable, match="--bus ADDRESS"):
        address.resolve("session", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:path=/a", [b"/a"]),
        ("unix:abstract=/tmp/x,guid=00", [b"\0/tmp/x"]),
        ("unix:path=/a%20b", [b"/a b"]),
        ("tcp:host=h,port=1;unix:path=/a;unix:path=/b", [b"/a", b"/b"]),
    ],
)
def test_sockets(text: str, expected: list[bytes]) -> None:
    assert address.sockets(text) == expected


@pytest.mark.parametrize(
    "text", ["", "nonsense", "tcp:host=h,port=1", "unix:", "unix:path=/%zz", "unix:path=/a%f\N{SNOWMAN}"]
)
def test_garbage(text: str) -> None:
    with pytest.raises(InvalidArgs):
        address.sockets(text)
