"""Where a bus is: `system`, `session`, or a D-Bus address. Only unix sockets: buffers are file descriptors, which no other way carries."""

from __future__ import annotations

import os
from collections.abc import Mapping

from memd.client.errors import NoBus, Unreachable
from memd.errors import InvalidArgs

SYSTEM = "unix:path=/run/dbus/system_bus_socket"


def resolve(word: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The address behind `system` (also None and ""), `session`, or the address itself."""
    if word in (None, "", "system"):
        return environment.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM
    if word != "session":
        return str(word)
    if address := environment.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    if directory := environment.get("XDG_RUNTIME_DIR"):
        return f"unix:path={directory}/bus"
    raise Unreachable(
        "there is no session bus: DBUS_SESSION_BUS_ADDRESS is not set; run this in a session, or say --bus ADDRESS"
    )


def sockets(address: str) -> list[bytes]:
    """What connect(2) takes, for each `;` alternative of an address; an abstract name begins with a zero byte."""
    found = [name for part in address.split(";") if part and (name := _socket(part)) is not None]
    if not found:
        raise InvalidArgs(
            f"{address!r} is no address of a bus; write system, session, or one like unix:path=/run/dbus/system_bus_socket"
        )
    return found


def _socket(part: str) -> bytes | None:
    transport, _, rest = part.partition(":")
    pairs = dict(pair.split("=", 1) for pair in rest.split(",") if "=" in pair)
    if transport != "unix":
        return None
    if "path" in pairs:
        return _unescape(pairs["path"])
    return b"\0" + _unescape(pairs["abstract"]) if "abstract" in pairs else None


def _unescape(text: str) -> bytes:
    """`%20` is a byte in hexadecimal."""
    first, *rest = os.fsencode(text).split(b"%")
    try:
        return first + b"".join(bytes.fromhex(piece[:2].decode()) + piece[2:] for piece in rest)
    except ValueError:
        raise InvalidArgs(f"{text!r} in an address: after % come two hexadecimal digits") from None


def no_bus(where: str, trouble: OSError | None) -> NoBus:
    """Ready to raise, when nothing at this address let us connect."""
    reason = trouble.strerror or str(trouble) if trouble else ""
    return NoBus(f"there is no bus at {where} ({reason}); is dbus.service running?")
