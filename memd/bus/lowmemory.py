"""org.freedesktop.LowMemoryMonitor, as low-memory-monitor has it: a second name on memd's own connection, one signal, nothing to call.

Facts that bite: GLib (2.64 to 2.88) looks once, when a program makes its GMemoryMonitor, whether the name is owned, and otherwise never
comes back; so the name is there before sessions start. A bus policy of low-memory-monitor's package lets root own it, and so does memd's.
"""

from __future__ import annotations

from memd.bus import naming
from memd.bus.calls import CallFailed
from memd.bus.connection import Connection
from memd.bus.objects import Object

NAME = "org.freedesktop.LowMemoryMonitor"
PATH = "/org/freedesktop/LowMemoryMonitor"
SIGNAL = "LowMemoryWarning"


async def own(connection: Connection) -> str:
    """Why memd does not have the name; "" if it has."""
    try:
        if await naming.request(connection, NAME):
            return ""
    except CallFailed as error:
        return f"{NAME} is not memd's: the bus does not allow it ({error.text})"
    other = await naming.holder(connection, NAME)
    return f"{NAME} is not memd's: {other} has it, and programs hear that one; stop it, then reload memd"


async def give_back(connection: Connection) -> None:
    await connection.call_bus("ReleaseName", "s", [NAME])


def object_() -> Object:
    return Object(NAME, {})
