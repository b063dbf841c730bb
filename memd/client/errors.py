"""Errors of a client: memd's own by their bus names (memd.errors), and `Unreachable` where nobody answered."""

from __future__ import annotations

from memd import errors
from memd.errors import Failed, MemdError
from memd.names import BUS_NAME

DBUS = "org.freedesktop.DBus.Error."
NOBODY = (
    f"memd is not running: nobody owns {BUS_NAME} on this bus; start it with `systemctl start memd`, "
    "or see why it is down with `systemctl status memd`"
)


class Unreachable(MemdError):
    """No bus, no memd on it, or no answer in time. The message says what to do."""

    bus_name = DBUS + "ServiceUnknown"


class NoBus(Unreachable):
    """Nothing listens at the bus's address."""


# Names that mean: the call never reached a memd. Spawn.* and systemd1.* come from an activation that failed.
GONE = ("ServiceUnknown", "NameHasNoOwner", "NoServer", "Disconnected", "NoReply", "TimedOut", "Timeout")
LOCAL = (errors.ConfigError, errors.BadDeviceTree)  # never come over a bus as themselves
BY_NAME: dict[str, type[MemdError]] = {
    kind.bus_name: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MemdError) and kind not in LOCAL
} | {
    errors.PREFIX + "Failed": Failed,
    DBUS + "LimitsExceeded": errors.LimitsExceeded,
    DBUS + "NoMemory": errors.NoMemory,
    DBUS + "NotSupported": errors.NotSupported,
    DBUS + "UnknownMethod": errors.NotSupported,
}


def from_bus(name: str, text: str) -> MemdError:
    """The error that a reply names, ready to raise; a name that nobody gave a class is Failed, with the name in its message."""
    if name in BY_NAME:
        return BY_NAME[name](text)
    if name in (DBUS + "ServiceUnknown", DBUS + "NameHasNoOwner"):
        return Unreachable(NOBODY)
    if name.startswith((DBUS + "Spawn.", "org.freedesktop.systemd1.")):
        return Unreachable(f"memd could not be started ({text or name}); see `systemctl status memd`")
    if name.removeprefix(DBUS) in GONE:
        return Unreachable(f"memd did not answer ({text or name}); see `systemctl status memd`")
    return Failed(f"{text} ({name})" if text else name)
