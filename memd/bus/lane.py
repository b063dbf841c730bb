"""The lane: the second way in, without a bus in between. dbus/lane.md tells the protocol.

One thread serves all lanes, asleep while nobody asks. It lends by itself what service/counter.py can, and gives the rest to the broker in
the loop, whose answer goes out from there. Everything that a client can do is bounded:
- few lanes for one owner, and few in all; a lane is the opener's, whoever holds it, and ends with the opener's process;
- one request of each lane in turn, so that nobody's thousand delays another by more than one;
- fds that are sent into a lane are never received: there is no control buffer for them, and the kernel drops them;
- who asks for more without reading replies loses the lane: its socket takes a window of them and no more, and nothing is kept here;
- what is no request ends the lane too: a program that does not speak the protocol is not told more by an error.
"""

from __future__ import annotations

import array
import asyncio
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial

from memd import lanewire
from memd.bus.wire import close_all
from memd.errors import Busy, Failed, LimitsExceeded, MemdError, NotAllowed
from memd.model import Caller, Grant
from memd.service.broker import Broker
from memd.service.counter import Asked

PER_OWNER = 8
MOST = 128
KNOWN = 16  # requests of a lane that are worked out already
RIGHTS = (int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS))
AT_ONCE = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
ENDED = "there is no rule any more that lets this lane's owner have anything"

log = logging.getLogger(__name__)


class Lane:
    """memd's end. Owns its socket and the opener's pidfd; the lane's thread closes both, and alone."""

    def __init__(self, caller: Caller, sock: socket.socket, pidfd: int, broker: Broker) -> None:
        self.caller, self.sock, self.pidfd = caller, sock, pidfd
        self._customer = broker.counter.customer(caller)
        self._known: dict[bytes, Asked] = {}
        self._handing = broker.counter.ledger.handing
        self.waiting: set[int] = set()  # one number for each request that the broker has
        self.lock = threading.Lock()  # between a reply from the loop and the end
        self._number = 0

    def take(self) -> tuple[int, bytes] | None:
        """(serial, the rest) of the next request; None: there is none after all. EOFError, Broken: the lane is to end."""
        try:
            data = self.sock.recv(lanewire.MAX_REQUEST + 1, AT_ONCE)
        except BlockingIOError:
            return None
        if not data:
            raise EOFError
        return lanewire.serial(data), data[lanewire.SERIAL :]

    def asked(self, rest: bytes) -> Asked | None:
        """What the request is, worked out once for all that are alike. None: the broker has to be asked. Broken, MemdError."""
        asked = self._known.get(rest)
        if asked is None or not self._customer.fresh(asked):
            heap, name, sizes = lanewire.parse_request(rest)
            asked = self._customer.ask(heap, sizes, name, lanewire.BATCH)
            if asked:
                self._remember(rest, asked)
        return asked

    def _remember(self, rest: bytes, asked: Asked) -> None:
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[rest] = asked

    def lend(self, asked: Asked) -> list[Grant] | None:
        return self._customer.lend(asked)

    def grant(self, serial: int, grants: Sequence[Grant]) -> None:
        """Takes the fds over. OSError: the window is full, or the other end is gone."""
        fds = [grant.fd for grant in grants]
        try:
            data = lanewire.reply(serial, grants[0].heap, [(grant.id, grant.size) for grant in grants])
        except BaseException:
            close_all(fds)
            raise
        with self._handing:
            try:
                self.sock.sendmsg([data], [(*RIGHTS, array.array("i", fds))], AT_ONCE)
            finally:
                for fd in fds:
                    os.close(fd)

    def refuse(self, serial: int, error: MemdError) -> None:
        self.sock.send(lanewire.refusal(serial, error), AT_ONCE)

    def wait(self) -> int:
        """A place among what the broker has. Broken: more than a window is on its way."""
        if len(self.waiting) >= lanewire.WINDOW:
            raise lanewire.Broken("more requests than the window has room for")
        self._number += 1
        self.waiting.add(self._number)
        return self._number

    def end(self) -> None:
        """From any thread: nothing more comes or goes, and the lane's thread sees to the rest."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended

    def close(self) -> None:
        with self.lock:
            self.sock.close()
        os.close(self.pidfd)


class Lanes:
    """`start` in the loop that the broker runs in."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lanes: set[Lane] = set()
        self._ready: dict[int, Callable[[], bool]] = {}  # fd -> what to do; False: the thread ends
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread | None = None
        self._epoll: select.epoll | None = None
        self._stopped = -1
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, caller: Caller, pidfd: int) -> int:
        """The client's end, which the receiver owns; `pidfd` is taken over, also by an error. NotAllowed, LimitsExceeded, Busy."""
        try:
            self._may(caller)
        except MemdError:
            os.close(pidfd)
            raise
        return self.open_at_once(caller, pidfd)

    def open_at_once(self, caller: Caller, pidfd: int) -> int:
        """`open` for whoever may have one."""
        try:
            self._start()
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            os.close(pidfd)
            raise Busy(f"there is no room for another lane: {error.strerror}; ask again") from error
        self._watch(Lane(caller, near, pidfd, self._broker))
        return far.detach()

    def configure(self) -> None:
        """After a change of the rules: each request is judged anew anyway, and who may have nothing needs no lane."""
        for lane in [lane for lane in self._lanes if not self._broker.counter.open_to(lane.caller)]:
            log.info("a lane of %s ends: %s", lane.caller.owner, ENDED)
            lane.end()

    async def close(self) -> None:
        """Every lane ends; what the broker still has is waited for."""
        if self._thread:
            os.eventfd_write(self._stopped, 1)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        for lane in list(self._lanes):
            self._end(lane)
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._epoll:
            self._epoll.close()
            os.close(self._stopped)
            self._epoll = None

    def _may(self, caller: Caller) -> None:
        if not self._broker.counter.open_to(caller):
            raise NotAllowed(f"no [Allow] rule lets {caller.owner} use any heap of this machine")
        own = sum(lane.caller.owner == caller.owner for lane in list(self._lanes))
        if own >= PER_OWNER:
            raise LimitsExceeded(f"{caller.owner} has {own} lanes open; use one of them, or close it")
        if len(self._lanes) >= MOST:
            raise LimitsExceeded(f"{MOST} lanes are open; call Allocate, which asks for no lane")

    def _start(self) -> None:
        if self._epoll is None:
            self._loop = asyncio.get_running_loop()
            self._epoll, self._stopped = select.epoll(), os.eventfd(0, os.EFD_CLOEXEC)
            self._ready[self._stopped] = lambda: False
            self._epoll.register(self._stopped, select.EPOLLIN)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="memd-lane", daemon=True)
            self._thread.start()

    def _watch(self, lane: Lane) -> None:
        assert self._epoll
        self._lanes.add(lane)
        self._ready[lane.sock.fileno()] = partial(self._serve, lane)
        self._ready[lane.pidfd] = partial(self._end, lane)
        self._epoll.register(lane.sock.fileno(), select.EPOLLIN)
        self._epoll.register(
            lane.pidfd, select.EPOLLIN
        )  # last: its process may be gone, and then the lane ends at once

    # In the lane's thread

    def _run(self) -> None:
        assert self._epoll
        while True:
            for fd, _ in self._epoll.poll():
                act = self._ready.get(fd)  # another event of this round may have ended the lane
                if act and not act():
                    return

    def _serve(self, lane: Lane) -> bool:
        try:
            request = lane.take()
            if request:
                self._answer(lane, *request)
        except (OSError, EOFError, lanewire.Broken):
            self._end(lane)
        return True

    def _answer(self, lane: Lane, serial: int, rest: bytes) -> None:
        try:
            asked = lane.asked(rest)
            grants = lane.lend(asked) if asked else None
        except lanewire.Broken:
            raise
        except Exception as error:
            lane.refuse(serial, _told(lane, error))
            return
        if grants is None:
            self._hand_over(lane, lane.wait(), serial, rest)
        else:
            lane.grant(serial, grants)

    def _hand_over(self, lane: Lane, number: int, serial: int, rest: bytes) -> None:
        assert self._loop
        self._loop.call_soon_threadsafe(self._begin, lane, number, serial, *lanewire.parse_request(rest))

    def _end(self, lane: Lane) -> bool:
        assert self._epoll
        for fd in (lane.sock.fileno(), lane.pidfd):
            self._epoll.unregister(fd)
            del self._ready[fd]
        self._lanes.discard(lane)
        lane.close()
        return True

    # In the loop

    def _begin(self, lane: Lane, number: int, serial: int, heap: str, name: str, sizes: tuple[int, ...]) -> None:
        task = asyncio.create_task(self._ask(lane, number, serial, heap, name, sizes))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, lane: Lane, number: int, serial: int, heap: str, name: str, sizes: tuple[int, ...]) -> None:
        try:
            grants = await self._broker.allocate(lane.caller, heap, sizes, name, lanewire.BATCH)
        except Exception as error:
            self._reply(lane, number, partial(lane.refuse, serial, _told(lane, error)))
        else:
            self._reply(lane, number, partial(lane.grant, serial, grants))

    def _reply(self, lane: Lane, number: int, send: Callable[[], None]) -> None:
        lane.waiting.discard(number)
        try:
            with lane.lock:
                send()
        except OSError:
            lane.end()


def _told(lane: Lane, error: Exception) -> MemdError:
    """What nobody expected is not told to strangers: it is in the log."""
    if isinstance(error, MemdError):
        return error
    log.error("a request of %s failed", lane.caller.owner, exc_info=error)
    return Failed("memd made a mistake; its log says which")
