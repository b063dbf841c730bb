"""Who calls: asked of the bus once for each connection, and forgotten when it has gone.

Facts that bite: dbus-daemon answers in 271 µs, too much for every call; a subordinate uid (newuidmap) connects under its own number and
keeps its owner's groups, so that groups count only where NSS knows the uid; NSS may ask the network, so it is asked in a thread.
"""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from memd.bus.connection import CallFailed
from memd.errors import Failed
from memd.model import Caller

CallBus = Callable[[str, str, Sequence[Any]], Awaitable[list[Any]]]


class Credentials:
    """`call_bus(member, signature, body)` is the connection's."""

    def __init__(self, call_bus: CallBus) -> None:
        self._call_bus = call_bus
        self._callers: dict[str, asyncio.Task[Caller]] = {}

    async def caller(self, name: str) -> Caller:
        """The Caller behind a unique name. Failed if it has gone meanwhile."""
        if name not in self._callers:
            self._callers[name] = asyncio.create_task(self._ask(name))
            self._callers[name].add_done_callback(_quiet)
        task = self._callers[name]
        try:
            return await asyncio.shield(task)
        except (CallFailed, ConnectionError, TimeoutError, KeyError) as error:
            self.forget(name)
            raise Failed(f"the bus does not say who {name} is: {error}") from error

    def forget(self, name: str) -> None:
        self._callers.pop(name, None)

    async def _ask(self, name: str) -> Caller:
        (answer,) = await self._call_bus("GetConnectionCredentials", "s", [name])
        facts = {key: value.value for key, value in answer.items()}
        uid = facts["UnixUserID"]
        gids = await asyncio.to_thread(groups, uid, facts.get("UnixGroupIDs"))
        return Caller(name, uid, gids, facts.get("ProcessID", 0), f"uid:{uid}")


def _quiet(task: asyncio.Task[Caller]) -> None:
    """Whoever asked may have gone: then nobody looks at the outcome."""
    if not task.cancelled():
        task.exception()


def groups(uid: int, gids: Sequence[int] | None) -> frozenset[int]:
    """Blocking. `gids`: as the bus says; None: it does not, so NSS is asked. Empty where NSS does not know the uid."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(gids if gids is not None else os.getgrouplist(user.pw_name, user.pw_gid))
