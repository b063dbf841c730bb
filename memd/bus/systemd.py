"""What memd asks of systemd, over memd's own connection. Document: org.freedesktop.systemd1(5).

The bus right: the system bus lets everybody call StartUnit, and systemd itself asks polkit for org.freedesktop.systemd1.manage-units, but
of uid 0 asks nobody. So memd.service needs neither a capability nor a bus policy for it; a memd of another uid would need a polkit rule.
"""

from __future__ import annotations

from memd.bus.connection import CallFailed, Connection
from memd.errors import Failed

SYSTEMD = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"


async def start_unit(connection: Connection, unit: str) -> None:
    """Return when systemd has queued the start. Failed with systemd's words."""
    try:
        reply = await connection.call(SYSTEMD, PATH, MANAGER, "StartUnit", "ss", [unit, "replace"])
    except CallFailed as error:
        raise Failed(error.text or error.name) from error
    except (ConnectionError, TimeoutError) as error:
        raise Failed(str(error) or "systemd does not answer") from error
    reply.close()
