"""Refusals in the journal: each owner has a few at once, then one per interval, so that nobody can write the journal full."""

from __future__ import annotations

import time
from collections.abc import Callable

from memd import errors, names
from memd.model import Caller, Event, Request, Verdict
from memd.service.allowance import Allowances
from memd.units import format_size

BURST = 5
INTERVAL = 30.0  # seconds in which one more is earned
NOTICE = 5


class Refusals:
    def __init__(self, tell: Callable[[Event], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._owners = Allowances(BURST, INTERVAL, clock)

    def refused(self, caller: Caller, request: Request, verdict: Verdict) -> None:
        """One entry, or one more that the next entry of this owner counts as `MEMD_SUPPRESSED`."""
        silent = self._owners.take(caller.owner)
        if silent is not None:
            self._tell(_event(caller, request, verdict, silent))


def error(verdict: Verdict) -> errors.MemdError:
    """The verdict as its caller gets it."""
    kind: type[errors.MemdError] = getattr(errors, verdict.error)
    return kind(verdict.reason)


def _event(caller: Caller, request: Request, verdict: Verdict, silent: int) -> Event:
    more = f" ({silent} more of this owner's were not written)" if silent else ""
    message = (
        f"{caller.owner} was refused {format_size(request.total)} of heap {request.heap.name}: {verdict.reason}{more}"
    )
    fields: dict[str, str | int | float] = {
        "MEMD_OWNER": caller.owner,
        "MEMD_UID": caller.uid,
        "MEMD_PID": caller.pid,
        "MEMD_HEAP": request.heap.name,
        "MEMD_SIZE": request.total,
        "MEMD_RULE": verdict.rule,
        "MEMD_ERROR": error(verdict).bus_name,
        "MEMD_LIMIT": verdict.limit,
        "MEMD_USE": verdict.use,
        "MEMD_SUPPRESSED": silent,
    }
    return Event(message, names.MESSAGE_REFUSED, NOTICE, fields)
