"""Calls of memd's own that wait for their replies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from memd.bus.library import Library
from memd.bus.wire import RETURN, Received
from memd.errors import Failed

BUS = "org.freedesktop.DBus"


class CallFailed(Exception):
    """An error reply to a call of ours."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class Waiting:
    """One call. `destination`: who was called."""

    def __init__(self, serial: int, destination: str) -> None:
        self.serial, self.destination = serial, destination
        self.answer: asyncio.Future[Received] = asyncio.get_running_loop().create_future()

    async def reply(self, seconds: float) -> Received:
        """The caller owns its fds. TimeoutError; ConnectionError if the bus goes meanwhile."""
        async with asyncio.timeout(seconds):
            return await self.answer

    def drop(self) -> None:
        """Nobody waits any more; a reply that has come already is closed."""
        if self.answer.done() and not self.answer.cancelled() and not self.answer.exception():
            self.answer.result().close()


class Calls:
    """Serials, and who waits for which."""

    def __init__(self) -> None:
        self._serial = 0
        self._waiting: dict[int, Waiting] = {}

    def serial(self) -> int:
        """1 to 2^32 - 1, and again."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        return self._serial

    @contextlib.contextmanager
    def expected(self, destination: str) -> Iterator[Waiting]:
        """A serial to send, and its reply; if the block ends with an error, what comes later is closed."""
        serial = self.serial()
        waiting = self._waiting[serial] = Waiting(serial, destination)
        try:
            yield waiting
        except BaseException:
            waiting.drop()
            raise
        finally:
            del self._waiting[serial]

    def resolve(self, message: Received) -> None:
        """Only who was called may answer, and the bus for it. (Who was called by a well-known name answers by another: not compared.)"""
        waiting = self._waiting.get(message.reply_serial)
        named = waiting is not None and waiting.destination.startswith((":", BUS))
        if waiting is None or waiting.answer.done() or (named and message.sender not in (waiting.destination, BUS)):
            message.close()
        else:
            waiting.answer.set_result(message)

    def fail(self, error: Exception) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def checked(reply: Received, library: Library) -> Received:
    """A reply that is none of an error, with all its fds; else CallFailed, and what came is closed."""
    if reply.kind == RETURN and len(reply.fds) == reply.unix_fds:
        return reply
    reply.close()
    if reply.kind == RETURN:
        raise CallFailed(Failed.bus_name, "fds of the reply were lost: too many files are open")
    text = library.unmarshal(reply.signature, reply.body, reply.endian)[:1] if reply.signature.startswith("s") else []
    raise CallFailed(reply.error_name, str(text[0]) if text else "")
