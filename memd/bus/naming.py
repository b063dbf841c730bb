"""Names on the bus: asked for without queueing, and who has one that is taken."""

from __future__ import annotations

import os

from memd.bus.calls import CallFailed
from memd.bus.connection import Connection

DO_NOT_QUEUE = 4
OURS = (1, 4)  # PRIMARY_OWNER, ALREADY_OWNER


async def request(connection: Connection, name: str) -> bool:
    """Whether it is memd's now. CallFailed where the bus' policy does not let memd have it."""
    (answer,) = await connection.call_bus("RequestName", "su", [name, DO_NOT_QUEUE])
    return answer in OURS


async def holder(connection: Connection, name: str) -> str:
    """`:1.7, process 123 (/usr/bin/memd)`, as far as the bus and the kernel say."""
    try:
        (unique,) = await connection.call_bus("GetNameOwner", "s", [name])
        (pid,) = await connection.call_bus("GetConnectionUnixProcessID", "s", [unique])
    except CallFailed:
        return "another process"
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return f"{unique}, process {pid}"
    return f"{unique}, process {pid} ({program})"
