"""May this request be granted? One pure function; every refusal is one sentence that names the rule, the limit and the use.

The floor: pages of the system heap, of udmabuf and of the simulated heap cannot be moved and cannot use CMA pages, which MemAvailable
counts, so they are judged by MemAvailable less CmaFree. A CMA request takes pages that others may have to leave: it is judged by what
its region has, and by MemAvailable and what can still be swapped out.
"""

from __future__ import annotations

from dataclasses import dataclass

from memd.model import Bounds, HeapKind, Level, Memory, Request, Rule, Usage, Verdict
from memd.units import format_size

OWNER, ALL = "owner", "all"


@dataclass(frozen=True, slots=True)
class _Cap:
    """A limit with the use that counts against it; `limit` None does not bind. `what`: as in "rule camera: %s of what may be had"."""

    what: str
    scope: str
    limit: int | None
    use: int
    more: int
    bytes: bool = True

    @property
    def broken(self) -> bool:
        return self.limit is not None and self.use + self.more > self.limit

    @property
    def left(self) -> float:
        """The fraction of the limit that the request would leave."""
        return (self.limit - self.use - self.more) / self.limit if self.limit else 0.0


def decide(rule: Rule, bounds: Bounds, usage: Usage, request: Request, memory: Memory, level: Level) -> Verdict:
    """In this order: a closed rule, what is no size, what no giving back would allow, caps, pressure, memory."""
    return (
        _closed(rule)
        or _size(rule, bounds, request, memory)
        or _caps(rule, bounds, usage, request)
        or _pressure(rule, bounds, level)
        or _floor(rule, bounds, request, memory)
        or _yes(rule, bounds, usage, request)
    )


def refusal(rule: str, reason: str, error: str, limit: int = 0, use: int = 0, scope: str = "") -> Verdict:
    return Verdict(allowed=False, rule=rule, reason=reason, error=error, limit=limit, use=use, scope=scope)


def not_allowed(request: Request, who: str) -> Verdict:
    """No rule matches the caller for this heap."""
    reason = f"no [Allow] rule lets {who} use heap {request.heap.name}; an administrator can write one in memd.conf, see `man memd.conf`"
    return refusal("", reason, "NotAllowed")


def _closed(rule: Rule) -> Verdict | None:
    if not rule.closed:
        return None
    reason = f"rule {rule.name} is closed by a wrong value in memd.conf; an administrator finds it with `memctl config check`"
    return refusal(rule.name, reason, "NotAllowed")


def _size(rule: Rule, bounds: Bounds, request: Request, memory: Memory) -> Verdict | None:
    if not request.sizes or min(request.sizes) < 1:
        return refusal(rule.name, "a buffer of 0 bytes is none; ask for at least 1", "InvalidArgs")
    largest = max(request.sizes)
    limits = (
        ("the machine's RAM", memory.total),
        ("a buffer by [Lending] MaxBufferSize", bounds.max_buffer_size),
        (f"a buffer by rule {rule.name}", rule.max_buffer_size),
    )
    for what, limit in limits:
        if limit is not None and largest > limit:
            reason = f"{_size_of(largest)} is more than the {_size_of(limit)} of {what}"
            return refusal(rule.name, reason, "LimitsExceeded", limit, largest)
    return None


def _list(rule: Rule, bounds: Bounds, usage: Usage, request: Request) -> tuple[_Cap, ...]:
    size, count = request.total, len(request.sizes)
    return (
        _Cap(f"rule {rule.name}: the owner", OWNER, rule.max_bytes, usage.share_bytes, size),
        _Cap(f"rule {rule.name}: the owner", OWNER, rule.max_buffers, usage.share_buffers, count, bytes=False),
        _Cap("[Lending]: the owner", OWNER, bounds.max_buffers_per_owner, usage.owner_buffers, count, bytes=False),
        _Cap(f"rule {rule.name}: all its owners together", ALL, rule.total_bytes, usage.rule_bytes, size),
        _Cap(
            f"rule {rule.name}: all its owners together",
            ALL,
            rule.total_buffers,
            usage.rule_buffers,
            count,
            bytes=False,
        ),
        _Cap("[Lending]: all owners together", ALL, bounds.max_bytes, usage.total_bytes, size),
        _Cap("[Lending]: all owners together", ALL, bounds.max_buffers, usage.total_buffers, count, bytes=False),
    )


def _caps(rule: Rule, bounds: Bounds, usage: Usage, request: Request) -> Verdict | None:
    cap = next((cap for cap in _list(rule, bounds, usage, request) if cap.broken), None)
    if cap is None or cap.limit is None:
        return None
    say = _size_of if cap.bytes else _count_of
    reason = f"{cap.what} may have {say(cap.limit)}, {say(cap.use)} in use, {say(cap.more)} asked for"
    return refusal(rule.name, reason, "QuotaExceeded", cap.limit, cap.use, cap.scope)


def _pressure(rule: Rule, bounds: Bounds, level: Level) -> Verdict | None:
    if rule.exempt or bounds.refuse_at is None or level < bounds.refuse_at:
        return None
    reason = f"rule {rule.name}: memory pressure is {level}, and nothing is lent from {bounds.refuse_at} on; ask again when it is over"
    return refusal(rule.name, reason, "PressureTooHigh", bounds.refuse_at, level)


def _floor(rule: Rule, bounds: Bounds, request: Request, memory: Memory) -> Verdict | None:
    size = request.total
    if request.heap.kind is HeapKind.CMA:
        free = memory.region_available if memory.region_available is not None else memory.region_size
        if free is not None and size > free:
            reason = (
                f"rule {rule.name}: CMA area {request.heap.area} has {_size_of(free)} left, {_size_of(size)} asked for"
            )
            return refusal(rule.name, reason, "NoMemory", free, size)
        left = memory.available + memory.swappable
        what = "available or can be swapped out"
    else:
        left = memory.available - (memory.cma_free or 0)
        what = "available outside CMA"
    if left - size >= bounds.floor:
        return None
    left, floor = max(left, 0), bounds.floor
    reason = f"rule {rule.name}: {_size_of(left)} {what}, {_size_of(size)} asked for, and [Lending] Floor keeps {_size_of(floor)}"
    return refusal(rule.name, reason, "NoMemory", floor, left)


def _yes(rule: Rule, bounds: Bounds, usage: Usage, request: Request) -> Verdict:
    caps = [cap for cap in _list(rule, bounds, usage, request) if cap.limit is not None]
    tightest = min(caps, key=lambda cap: cap.left)
    say = _size_of if tightest.bytes else _count_of
    limit = tightest.limit or 0
    reason = f"allowed by rule {rule.name}; {tightest.what} may have {say(limit)}, {say(tightest.use)} in use"
    return Verdict(allowed=True, rule=rule.name, reason=reason, limit=limit, use=tightest.use)


def _size_of(size: int) -> str:
    return format_size(size)


def _count_of(count: int) -> str:
    return f"{count} buffer" if count == 1 else f"{count} buffers"
