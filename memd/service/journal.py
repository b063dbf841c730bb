"""Events to the journal, or to standard error where no journal listens.

Facts that bite: libsystemd's socket blocks once journald stops taking messages, and systemd-python drops errors in silence. So a
thread of its own sends (asleep while there is nothing to send), out of a bounded queue, and an entry says in MEMD_LOST how many
before it found no room.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import sys
import threading

from memd.kernel.root import Root
from memd.model import Event

try:
    from systemd._journal import sendv  # systemd.journal has its reader beside, with datetime, uuid and 1 MB of others
except ImportError:  # the distribution left it out: standard error is what remains
    sendv = None

SOCKET = "run/systemd/journal/socket"
IDENTIFIER = "memd"
MOST_WAITING = 1000
PATIENCE = 1.0


class Journal:
    """Call it with an Event: returns at once, never raises. `close` waits a second at most for what is still to be sent."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._queue: queue.Queue[Event | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._lost = 0

    def __call__(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._lost += 1
            return
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="journal", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had: the next event tries again
            return
        self._thread = thread
        atexit.register(self.close)

    def close(self) -> None:
        atexit.unregister(self.close)
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._queue.put(None, timeout=PATIENCE)
        except queue.Full:
            return
        thread.join(PATIENCE)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            lost, self._lost = self._lost, 0
            self._send(event, lost)

    def _send(self, event: Event, lost: int) -> None:
        """systemd-python talks to the machine's own journal only, so a recorded machine's events go to standard error."""
        if sendv and self._root.is_machine and self._root.exists(SOCKET):
            sendv(*entry(event, lost))
            return
        with contextlib.suppress(OSError, ValueError):  # standard error is closed: nobody to tell
            print(f"{IDENTIFIER}: {_one_line(event.message)}", file=sys.stderr, flush=True)


def entry(event: Event, lost: int = 0) -> list[bytes]:
    """The fields of a journal entry, `NAME=value`; what is no UTF-8 is shown with backslashes."""
    fields: dict[str, str | int | float] = {
        "MESSAGE": event.message,
        "MESSAGE_ID": event.message_id,
        "PRIORITY": event.priority,
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        **event.fields,
    }
    if lost:
        fields["MEMD_LOST"] = lost
    return [f"{name}={value}".encode("utf-8", "backslashreplace") for name, value in fields.items()]


def _one_line(text: str) -> str:
    """A label of somebody's must not look like a second message."""
    return "".join(char if char.isprintable() else "?" for char in text)
