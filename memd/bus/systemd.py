"""What memd asks of systemd, over memd's own connection. Document: org.freedesktop.systemd1(5).

The bus right: the system bus lets everybody call StartUnit, and systemd itself asks polkit for org.freedesktop.systemd1.manage-units, but
of uid 0 asks nobody. So memd.service needs neither a capability nor a bus policy for it; a memd of another uid would need a polkit rule.
"""

from __future__ import annotations

from typing import Any

from memd.bus.calls import CallFailed
from memd.bus.connection import Connection
from memd.bus.objects import encode
from memd.bus.standard import PROPERTIES
from memd.errors import Failed

SYSTEMD = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"


UNITS = f"{PATH}/unit"
KINDS = {
    "service": "Service",
    "slice": "Slice",
    "scope": "Scope",
    "socket": "Socket",
    "mount": "Mount",
    "swap": "Swap",
}


def unit_path(unit: str) -> str:
    return f"{UNITS}/{encode(unit)}"


def match(unit: str) -> str:
    """The rule by which a change of the unit is heard of."""
    return f"type='signal',sender='{SYSTEMD}',path='{unit_path(unit)}',interface='{PROPERTIES}',member='PropertiesChanged'"


async def subscribe(connection: Connection) -> None:
    """systemd tells of changes only where somebody wants to know. Failed with its words."""
    await _call(connection, PATH, MANAGER, "Subscribe")


async def control_group(connection: Connection, unit: str) -> str:
    """`/system.slice/x.service`; "" while it does not run. Failed with systemd's words."""
    interface = f"{SYSTEMD}.{KINDS[unit.rpartition('.')[2]]}"
    (value,) = await _call(connection, unit_path(unit), PROPERTIES, "Get", "ss", interface, "ControlGroup")
    group = value.value
    if not isinstance(group, str) or ".." in group.split("/"):
        raise Failed(f"systemd says {group!r} of the cgroup of {unit}")
    return group


async def start_unit(connection: Connection, unit: str) -> None:
    """Return when systemd has queued the start. Failed with systemd's words."""
    await _call(connection, PATH, MANAGER, "StartUnit", "ss", unit, "replace")


async def _call(
    connection: Connection, path: str, interface: str, member: str, signature: str = "", *body: object
) -> list[Any]:
    try:
        reply = await connection.call(SYSTEMD, path, interface, member, signature, body)
    except CallFailed as error:
        raise Failed(error.text or error.name) from error
    except (ConnectionError, TimeoutError) as error:
        raise Failed(str(error) or "systemd does not answer") from error
    reply.close()
    return connection.arguments(reply)
