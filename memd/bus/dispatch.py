"""The one way in for every call: looked up in the contract, bounded, run, and answered; errors become replies here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from memd.bus import variants
from memd.bus.administrators import FLAGS
from memd.bus.connection import Connection
from memd.bus.contract import Contract, Method
from memd.bus.objects import Answer, Object
from memd.bus.standard import (
    INTROSPECTABLE,
    OBJECT_MANAGER,
    PEER,
    PROPERTIES,
    UnknownInterface,
    UnknownMethod,
    UnknownObject,
)
from memd.bus.tree import Tree
from memd.bus.wire import Received, close_all
from memd.errors import BadKernelFile, Failed, InvalidArgs, LimitsExceeded, MemdError
from memd.names import JOB, MANAGER, ZRAM

MAX_PER_SENDER = 128  # what dbus-daemon allows in waiting replies; more comes without waiting, or through another bus
MAX_CALLS = 1024
FEW = 2  # running calls that everybody may have, however many others have
MAX_TEXT = 2000
# What is of use to a caller who wants no reply. All else gives something that nobody would get.
ACTING = {(MANAGER, "Reload"), (MANAGER, "WriteOff"), (ZRAM, "Set"), (JOB, "Cancel")}

log = logging.getLogger(__name__)


class Dispatcher:
    def __init__(self, connection: Connection, contract: Contract, tree: Tree) -> None:
        self._connection = connection
        self._contract = contract
        self._tree = tree
        self._running: set[asyncio.Task[None]] = set()
        self._senders: Counter[str] = Counter()
        self._standard: dict[tuple[str, str], Callable[..., Awaitable[Answer]]] = {
            (PEER, "Ping"): self._ping,
            (PEER, "GetMachineId"): self._machine_id,
            (INTROSPECTABLE, "Introspect"): self._introspect,
            (PROPERTIES, "Get"): self._get,
            (PROPERTIES, "GetAll"): self._get_all,
            (PROPERTIES, "Set"): self._set,
            (OBJECT_MANAGER, "GetManagedObjects"): self._managed,
        }

    def __call__(self, call: Received) -> None:
        """Types first, then the bounds, and only then the body: what is refused costs nothing. Never raises."""
        try:
            method = self._contract.method(call.interface, call.member, call.signature)
            if not call.wants_reply and (method is None or (method.interface, method.name) not in ACTING):
                return
            self._bound(call.sender)
            arguments = self._arguments(call) if method else []
        except Exception as error:
            self._refuse(call, error)
            return
        self._senders[call.sender] += 1
        task = asyncio.create_task(self._answer(call, method, arguments))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self, seconds: float) -> None:
        """Let what runs end, but not longer than this; then cancel it."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        left = list(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _arguments(self, call: Received) -> list[Any]:
        try:
            return self._connection.arguments(call)
        except ValueError as error:
            raise InvalidArgs("the arguments do not parse") from error

    def _bound(self, sender: str) -> None:
        if self._senders[sender] >= MAX_PER_SENDER:
            raise LimitsExceeded(f"{MAX_PER_SENDER} calls of yours are being answered; wait for replies first")
        if len(self._running) >= MAX_CALLS and self._senders[sender] >= FEW:
            raise LimitsExceeded(f"{MAX_CALLS} calls are being answered; wait for replies first")

    async def _answer(self, call: Received, method: Method | None, arguments: list[Any]) -> None:
        FLAGS.set(call.flags)
        try:
            self._reply(call, *await self._run(call, method, arguments))
        except Exception as error:
            self._refuse(call, error)
        finally:
            self._senders[call.sender] -= 1
            if not self._senders[call.sender]:
                del self._senders[call.sender]

    async def _run(self, call: Received, method: Method | None, arguments: list[Any]) -> tuple[Method, Answer]:
        target = await self._tree.at(call.path)
        if target is None and not await self._tree.children(call.path):
            raise UnknownObject(f"there is no object {call.path[:255]}")
        method = self._offered(call, target, method)
        standard = self._standard.get((method.interface, method.name))
        if standard:
            return method, await standard(call.path, target, *arguments)
        assert target
        return method, await target.methods[method.name](call.sender, *arguments)

    def _offered(self, call: Received, target: Object | None, method: Method | None) -> Method:
        """Whether what is called is what this object has."""
        here = self._tree.interfaces(call.path, target)
        if method and method.interface in here:
            return method
        if call.interface and call.interface not in here:
            raise UnknownInterface(f"{call.path[:255]} has no interface {call.interface[:255]}")
        raise UnknownMethod(f"{call.path[:255]} has no method {call.member[:255]}")

    def _reply(self, call: Received, method: Method, answer: Answer) -> None:
        try:
            body = [self._wire(kind, value) for (_, kind), value in zip(method.gives, answer.values, strict=True)]
        except BaseException:
            close_all(answer.fds)
            raise
        self._connection.reply(call, method.reply, body, answer.fds, answer.raw)

    def _wire(self, kind: str, value: Any) -> Any:
        if kind == "a{sv}":
            return variants.dictionary(self._connection.library, value)
        if kind == "aa{sv}":
            return [variants.dictionary(self._connection.library, row) for row in value]
        return value

    def _refuse(self, call: Received, error: Exception) -> None:
        name, text = explain(error)
        if name == Failed.bus_name and not isinstance(error, (MemdError, OSError, BadKernelFile)):
            log.error("%s.%s from %s failed", call.interface, call.member, call.sender, exc_info=error)
        self._connection.error(call, name, text[:MAX_TEXT])

    # D-Bus' own interfaces

    async def _ping(self, _path: str, _target: Object | None) -> Answer:
        return Answer()

    async def _machine_id(self, _path: str, _target: Object | None) -> Answer:
        return Answer((Path("/etc/machine-id").read_text("ascii").strip(),))  # noqa: ASYNC240 (a file that is in memory)

    async def _introspect(self, path: str, target: Object | None) -> Answer:
        return Answer((await self._tree.introspect(path, target),))

    async def _get(self, _path: str, target: Object, interface: str, name: str) -> Answer:
        return Answer((self._tree.property(target, interface, name),))

    async def _get_all(self, _path: str, target: Object, interface: str) -> Answer:
        return Answer((self._tree.properties(target, interface),))

    async def _set(self, _path: str, target: Object, interface: str, name: str, _value: object) -> Answer:
        self._tree.set_property(target, interface, name)
        return Answer()

    async def _managed(self, _path: str, _target: Object) -> Answer:
        objects = await self._tree.objects()
        return Answer(({path: self._tree.managed(target) for path, target in objects.items()},))


def explain(error: Exception) -> tuple[str, str]:
    """An exception as a D-Bus error: its name and one sentence. What nobody expected is not told to strangers: it is in the log."""
    if isinstance(error, MemdError):
        return error.bus_name, str(error)
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return Failed.bus_name, f"{error.strerror or error}{place}"
    if isinstance(error, BadKernelFile):
        return Failed.bus_name, str(error)
    return Failed.bus_name, "memd made a mistake; its log says which"
