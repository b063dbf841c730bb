"""Who calls: asked of the bus once for each connection, and forgotten when it has gone.

Facts that bite:
- dbus-daemon answers in 271 µs, too much for every call; ProcessFD (dbus 1.15.8, dbus-broker 35) is the pidfd of the process that
  connected, and older buses have none.
- Each pidfd counts as an fd that waits for memd: with 64 of them on their way dbus-daemon drops the next answer without a word. So a
  hundred connections that call at once are asked about a few at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from memd.bus.calls import BUS, CallFailed
from memd.bus.connection import BUS_PATH, Connection
from memd.bus.wire import Received
from memd.errors import BadKernelFile, Failed
from memd.model import Caller
from memd.service.owners import Owners

PROCESS = "ProcessFD"
AT_ONCE = 16  # questions on their way; max_outgoing_unix_fds is 64


class Credentials:
    def __init__(self, connection: Connection, owners: Owners) -> None:
        self._connection = connection
        self._owners = owners
        self._callers: dict[str, asyncio.Task[Caller]] = {}
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def caller(self, name: str) -> Caller:
        """The Caller behind a unique name. Failed if it has gone meanwhile, or its process has."""
        if name not in self._callers:
            self._callers[name] = asyncio.create_task(self._ask(name))
            self._callers[name].add_done_callback(_quiet)
        task = self._callers[name]
        try:
            return await asyncio.shield(task)
        except (CallFailed, OSError, LookupError, BadKernelFile) as error:
            self.forget(name)
            raise Failed(f"memd cannot tell who {name} is: {_why(error)}") from error
        except Failed:
            self.forget(name)
            raise

    async def process(self, name: str) -> int:
        """A pidfd of the process that made the connection, which the receiver owns. Failed if it has gone.

        A bus that gives no pidfd gives a number: what it meant is believed if the connection is still there afterwards."""
        try:
            reply, facts = await self._facts(name)
            try:
                if PROCESS in facts:
                    return os.dup(reply.fds[facts[PROCESS]])
            finally:
                reply.close()
            pidfd = os.pidfd_open(facts["ProcessID"])
        except (CallFailed, OSError, LookupError) as error:
            raise Failed(f"memd cannot tell which process {name} is: {_why(error)}") from error
        return await self._still(name, pidfd)

    async def _still(self, name: str, pidfd: int) -> int:
        try:
            reply, _ = await self._facts(name)
        except BaseException as error:
            os.close(pidfd)
            if isinstance(error, CallFailed):
                raise Failed(f"{name} has gone") from error
            raise
        reply.close()
        return pidfd

    def forget(self, name: str) -> None:
        self._callers.pop(name, None)

    async def look(self) -> None:
        """Find out what this bus tells of callers, by asking about ourselves."""
        reply, facts = await self._facts(self._connection.unique_name)
        reply.close()
        self._owners.bus_tells = PROCESS in facts

    async def _ask(self, name: str) -> Caller:
        reply, facts = await self._facts(name)
        try:
            uid, pid, gids = facts["UnixUserID"], facts.get("ProcessID", 0), facts.get("UnixGroupIDs")
            pidfd = reply.fds[facts[PROCESS]] if PROCESS in facts else None
            work = _in_thread(self._owners.caller, name, uid, gids, pid, pidfd)
        except BaseException:
            reply.close()
            raise
        # Not before the thread is done with the pidfd, whoever has stopped waiting for it.
        work.add_done_callback(lambda _: reply.close())
        return await asyncio.shield(work)

    async def _facts(self, name: str) -> tuple[Received, dict[str, Any]]:
        """The caller owns the reply and its fds."""
        call: Callable[..., Awaitable[Received]] = self._connection.call
        async with self._asking:
            reply = await call(BUS, BUS_PATH, BUS, "GetConnectionCredentials", "s", [name])
        try:
            (answer,) = self._connection.arguments(reply)
            return reply, {key: value.value for key, value in answer.items()}
        except BaseException:
            reply.close()
            raise


def _why(error: Exception) -> str:
    return "the bus did not answer" if isinstance(error, TimeoutError) else str(error)


def _in_thread(work: Callable[..., Caller], *arguments: object) -> asyncio.Future[Caller]:
    return asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _quiet(task: asyncio.Task[Caller]) -> None:
    """Whoever asked may have gone: then nobody looks at the outcome."""
    if not task.cancelled():
        task.exception()
