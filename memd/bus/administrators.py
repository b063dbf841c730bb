"""Who may call administrators' methods: root, and where polkit runs whoever it lets. polkit(8), org.freedesktop.PolicyKit1.Authority.

Facts that bite: the subject is the caller's unique name, which nobody else can have later; a person may be asked for a password only if
the caller allowed it in the message (ALLOW_INTERACTIVE_AUTHORIZATION); a polkit that hangs must not keep a call forever.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
from collections.abc import Awaitable, Callable

from memd.bus.calls import CallFailed
from memd.bus.connection import Connection
from memd.errors import AccessDenied, Busy
from memd.model import Caller

AUTHORITY = (
    "org.freedesktop.PolicyKit1",
    "/org/freedesktop/PolicyKit1/Authority",
    "org.freedesktop.PolicyKit1.Authority",
)
SET_ZRAM = "org.memd1.set-zram"
ACTIONS = {"Reload": "org.memd1.reload", "WriteOff": "org.memd1.write-off", "Set": SET_ZRAM, "Cancel": SET_ZRAM}
DEADLINE = 5.0  # seconds, also to start polkit
PATIENCE = 60.0  # ... while a person may be typing a password
MOST = 16  # checks at one time; root needs none
INTERACTIVE = 4  # ALLOW_INTERACTIVE_AUTHORIZATION of a message's flags; AllowUserInteraction of polkit's is 1

# Of the call that is being answered; each is answered in a task of its own.
FLAGS: contextvars.ContextVar[int] = contextvars.ContextVar("flags", default=0)


class Administrators:
    """`caller(sender)` gives who calls."""

    def __init__(self, connection: Connection, caller: Callable[[str], Awaitable[Caller]]) -> None:
        self._connection, self._caller = connection, caller
        self._asked = 0
        self._numbers = itertools.count(1)

    async def require(self, sender: str, method: str) -> None:
        """Return if he may. AccessDenied with why not, Busy while polkit is asked about many."""
        if (await self._caller(sender)).is_admin:
            return
        if self._asked >= MOST:
            raise Busy(f"{method} is for root; polkit is being asked about {MOST} other calls, ask again")
        self._asked += 1
        try:
            refused = await self._refused(sender, ACTIONS[method])
        finally:
            self._asked -= 1
        if refused:
            raise AccessDenied(f"{method} is for root, and for whom polkit lets ({refused})")

    async def _refused(self, sender: str, action: str) -> str:
        """Why polkit does not let him; "" if it does."""
        interactive = bool(FLAGS.get() & INTERACTIVE)
        number = f"memd{next(self._numbers)}"
        variant = self._connection.library.Variant
        subject = ["system-bus-name", {"name": variant("s", sender)}]
        body = [subject, action, {}, int(interactive), number]
        try:
            reply = await self._connection.call(
                *AUTHORITY,
                "CheckAuthorization",
                "(sa{sv})sa{ss}us",
                body,
                timeout=PATIENCE if interactive else DEADLINE,
            )
        except CallFailed as error:
            return f"it does not run here, or not well: {error.text or error.name}"
        except TimeoutError:
            await self._cancel(number)
            return "it did not answer in time"
        reply.close()
        allowed, challenge, _ = self._connection.arguments(reply)[0]
        if allowed:
            return ""
        return (
            f"{action} needs a password, for which this caller cannot be asked" if challenge else f"not for {action}"
        )

    async def _cancel(self, number: str) -> None:
        """So that no dialog stays open."""
        with contextlib.suppress(CallFailed, asyncio.TimeoutError):
            (await self._connection.call(*AUTHORITY, "CancelCheckAuthorization", "s", [number], timeout=1.0)).close()
