"""Refusals in the journal: each owner has a few at once, then one per interval, so that nobody can write the journal full. Counted
they are all, for the status.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from memd import errors, names
from memd.early import Noun
from memd.model import Caller, Event, Request, Verdict
from memd.service.allowance import MAX_KEYS, Allowances
from memd.units import format_size

BURST = 5
INTERVAL = 30.0  # seconds in which one more is earned
NOTICE = 5


class Refused(Noun):
    """One owner since memd started: how often, and why the last time."""

    count: int
    reason: str


class Refusals:
    """`total`: since memd started, of all owners."""

    def __init__(self, tell: Callable[[Event], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._owners = Allowances(BURST, INTERVAL, clock)
        self._counts: dict[str, Refused] = {}
        self.total = 0

    def refused(self, caller: Caller, request: Request, verdict: Verdict) -> None:
        """One entry, or one more that the next entry of this owner counts as `MEMD_SUPPRESSED`."""
        self._count(caller.owner, verdict)
        silent = self._owners.take(caller.owner)
        if silent is not None:
            self._tell(_event(caller, request, verdict, silent))

    def by_owner(self) -> dict[str, Refused]:
        """Those who were refused last."""
        return dict(self._counts)

    def _count(self, owner: str, verdict: Verdict) -> None:
        before = self._counts.pop(owner, None)
        self._counts[owner] = Refused(before.count + 1 if before else 1, verdict.reason)
        self.total += 1
        if len(self._counts) > MAX_KEYS:
            del self._counts[next(iter(self._counts))]


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
