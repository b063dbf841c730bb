"""memd's own connection to a bus: SASL, Hello, calls with replies, backpressure, and an end that is told. Framing is `wire.py`'s.

Why not the library's MessageBus: on a system bus anybody may call, and it leaks fds that nobody asked for, freezes on large bodies, grows
by foreign signatures and dies of a full socket. Every such attack is a test in tests/bus/test_attacks.py.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Any

from memd.bus import listing, refusal
from memd.bus.calls import BUS, CallFailed, Calls, checked
from memd.bus.library import Library, load
from memd.bus.sasl import TIMEOUT, open_socket
from memd.bus.wire import CALL, ERROR, MAX_BODY, NO_REPLY, RETURN, SIGNAL, Reader, Received, close_all
from memd.bus.writer import MAX_FDS, Writer
from memd.errors import Failed, InvalidArgs, LimitsExceeded

BUS_PATH = "/org/freedesktop/DBus"
MAX_QUEUED = 512
MAX_OUT_FDS = 1024

log = logging.getLogger(__name__)


class Connection:
    """One connection. `on_call` and `on_signal` get messages without fds, in the order of the bus.

    `closed` resolves once, to the reason, when the connection has ended; whatever was queued is closed by then."""

    def __init__(
        self,
        sock: socket.socket,
        library: Library,
        on_call: Callable[[Received], None] | None = None,
        on_signal: Callable[[Received], None] | None = None,
    ) -> None:
        self.library = library
        self.unique_name = ""
        self.on_call = on_call or self._no_objects
        self.on_signal = on_signal or (lambda _: None)
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self._sock = sock
        self._calls = Calls()
        self._reader = Reader(sock, self._deliver, self._too_big)
        self._writer = Writer(sock)
        self._max_fds = min(MAX_OUT_FDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._drained = asyncio.Event()
        self._loop.add_reader(sock, self._readable)

    @classmethod
    async def connect(
        cls,
        address: str,
        on_call: Callable[[Received], None] | None = None,
        on_signal: Callable[[Received], None] | None = None,
        library: Library | None = None,
    ) -> Connection:
        """Connect to `system`, `session` or an address. ConnectionError says which and why."""
        library = library or load()
        self = cls(await open_socket(address, library), library, on_call, on_signal)
        try:
            self.unique_name = (await self.call_bus("Hello"))[0]
        except BaseException as error:
            self.close()
            if isinstance(error, (CallFailed, TimeoutError)):
                raise ConnectionError(f"the bus at {address} does not greet: {error}") from error
            raise
        return self

    # Out

    def reply(
        self, call: Received, signature: str, body: Sequence[Any], fds: Sequence[int] = (), raw: bytes = b""
    ) -> None:
        """Answer a call. Takes `fds` over, whatever happens to them. `raw`: the body as bytes, where `body` only stands in."""
        if not call.wants_reply:
            close_all(fds)
            return

        def instead(error: OSError) -> bytes:
            return self._error(call, Failed.bus_name, f"the buffer could not be sent: {error.strerror}")

        fields = {"destination": call.sender, "reply_serial": call.serial, "signature": signature, "body": list(body)}
        try:
            self._send(RETURN, fds, instead, raw, **fields)
        except Exception:
            log.exception("reply to %s.%s cannot be sent", call.interface, call.member)
            self.error(call, Failed.bus_name, "memd made a reply that cannot be sent; its log says why")

    def error(self, call: Received, name: str, text: str) -> None:
        if call.wants_reply:
            self._put(self._error(call, name, text))

    def signal(self, path: str, interface: str, member: str, signature: str, body: Sequence[Any]) -> None:
        """Broadcast. Dropped where the bus reads so slowly that replies pile up: what is measured can be asked for."""
        if self._reader.stopped:
            log.warning("the bus does not read: signal %s is dropped", member)
            return
        self._send(SIGNAL, path=path, interface=interface, member=member, signature=signature, body=list(body))

    async def call_bus(self, member: str, signature: str = "", body: Sequence[Any] = ()) -> list[Any]:
        """Call the bus itself; the arguments of its reply. Fds in it are closed."""
        reply = await self.call(BUS, BUS_PATH, BUS, member, signature, body)
        reply.close()
        return self.arguments(reply)

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", body: Sequence[Any] = (),
        timeout: float = TIMEOUT,  # noqa: ASYNC109 (the call is given up, and its reply closed when it comes)
    ) -> Received:  # fmt: skip
        """Call a method. The caller owns the reply's fds; those of a reply that comes too late are closed.

        CallFailed for an error reply, TimeoutError, ConnectionError if the bus has gone or goes meanwhile."""
        if self.closed.done():
            raise ConnectionError(f"the bus has gone: {self.closed.result()}")
        with self._calls.expected(destination) as waiting:
            self._send(CALL, serial=waiting.serial, destination=destination, path=path, interface=interface,
                       member=member, signature=signature, body=list(body))  # fmt: skip
            reply = await waiting.reply(timeout)
        return checked(reply, self.library)

    def arguments(self, message: Received) -> list[Any]:
        """ValueError if the body does not parse."""
        return self.library.unmarshal(message.signature, message.body, message.endian)

    async def drain(self) -> None:
        """Return when all that was sent has left, or the connection has."""
        if len(self._writer):
            self._drained.clear()
            await self._drained.wait()

    def close(self) -> None:
        self._lost("closed by memd")

    def _error(self, call: Received, name: str, text: str) -> bytes:
        return refusal.error(self._calls.serial(), call.sender, call.serial, name, text)

    def _send(
        self,
        kind: int,
        fds: Sequence[int] = (),
        instead: Callable[[OSError], bytes] | None = None,
        raw: bytes = b"",
        **fields: Any,
    ) -> None:
        """Takes `fds` over, also when it raises what the library does not want to marshal."""
        try:
            if len(fds) > MAX_FDS or not all(type(fd) is int for fd in fds):
                raise ValueError(f"fds that cannot be sent: {fds}")
            serial = fields.pop("serial", 0) or self._calls.serial()
            flags = 0 if kind == CALL else NO_REPLY
            data = self.library.marshal(kind, serial, flags=flags, unix_fds=list(fds), **fields)
        except BaseException:
            close_all(fd for fd in fds if type(fd) is int)
            raise
        self._put(listing.spliced(data, raw) if raw else data, fds, instead)

    def _put(self, data: bytes, fds: Sequence[int] = (), instead: Callable[[OSError], bytes] | None = None) -> None:
        if self.closed.done():
            close_all(fds)
            return
        idle = not len(self._writer)
        self._writer.put(data, fds, instead)
        if idle:
            self._writable()
        else:
            self._flow()

    def _writable(self) -> None:
        try:
            done = self._writer.flush()
        except OSError as error:
            self._lost(f"cannot write to the bus: {error.strerror}")
            return
        if done:
            self._loop.remove_writer(self._sock)
            self._drained.set()
        else:
            self._loop.add_writer(self._sock, self._writable)
        self._flow()

    def _flow(self) -> None:
        """Who does not read replies is not read from: calls wait in the bus, and its limits are the callers'."""
        waiting, fds = len(self._writer), self._writer.fds
        if not self._reader.stopped and (waiting > MAX_QUEUED or fds > self._max_fds):
            self._reader.stopped = True
            self._loop.remove_reader(self._sock)
        elif self._reader.stopped and waiting <= MAX_QUEUED // 2 and fds <= self._max_fds // 2:
            self._reader.stopped = False
            self._loop.add_reader(self._sock, self._readable)

    # In

    def _readable(self) -> None:
        try:
            self._reader.run()
        except EOFError:
            self._lost("the bus closed the connection")
        except OSError as error:
            self._lost(f"cannot read from the bus: {error.strerror}")

    def _deliver(self, message: Received) -> None:
        if message.kind in (RETURN, ERROR):
            self._calls.resolve(message)
            return
        uninvited = bool(message.fds)
        message.close()
        try:
            if message.kind == SIGNAL:
                self.on_signal(message)
            elif message.kind == CALL and uninvited:
                self.error(message, InvalidArgs.bus_name, f"{message.member} takes no fds; send it without")
            elif message.kind == CALL:
                self.on_call(message)
        except Exception:
            log.exception("%s from %s was dropped", message.member, message.sender)

    def _too_big(self, message: Received) -> None:
        message.close()
        if message.kind == CALL:
            self.error(message, LimitsExceeded.bus_name, f"a message of more than {MAX_BODY} bytes is not looked at")
        elif message.kind in (RETURN, ERROR):
            message.kind, message.error_name, message.signature = ERROR, LimitsExceeded.bus_name, ""
            self._calls.resolve(message)

    def _no_objects(self, call: Received) -> None:
        self.error(call, BUS + ".Error.UnknownObject", f"there is no object {call.path}")

    def _lost(self, reason: str) -> None:
        if self.closed.done():
            return
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._reader.stopped = True
        self._writer.close()
        self._reader.close()
        self._sock.close()
        self.closed.set_result(reason)
        self._drained.set()
        self._calls.fail(ConnectionError(f"the bus has gone: {reason}"))
