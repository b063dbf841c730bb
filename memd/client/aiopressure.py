"""Levels of pressure over an fd, across restarts of memd, for an asyncio loop: see pressure.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from memd.client import protocol
from memd.client.errors import Unreachable
from memd.client.pressure import AGAIN, LEVELS

if TYPE_CHECKING:
    from memd.client.aio import AsyncMemd
    from memd.client.aioconnection import Listener


async def levels(memd: AsyncMemd, level: str) -> AsyncIterator[str]:
    """See AsyncMemd.pressure_levels."""
    known = ""
    with memd._connection.listen() as signals:
        await memd._connection.match(protocol.MATCHES[1])
        while True:
            await _owner(memd, signals)
            try:
                end, now = await memd.open_pressure_fd(level)
            except Unreachable:
                continue
            with end:
                end.setblocking(False)  # noqa: FBT003 (socket has no other way to say it)
                if now != known:
                    yield now
                known = now
                while said := await asyncio.get_running_loop().sock_recv(end, 1):
                    known = LEVELS[said[0]]
                    yield known


async def _owner(memd: AsyncMemd, signals: Listener) -> None:
    while True:
        try:
            await memd._connection.call(*protocol.OWNER)
        except Unreachable:
            pass
        else:
            return
        try:
            async with asyncio.timeout(AGAIN):
                await signals.next()
        except TimeoutError:
            continue
