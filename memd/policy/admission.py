"""May this request be granted? One pure function; every refusal is one sentence that names the rule, the limit and the use.

The floor: pages of the system heap, of udmabuf and of the simulated heap cannot be moved and cannot use CMA pages, which MemAvailable
counts, so they are judged by MemAvailable less CmaFree. A CMA request takes pages that others may have to leave: it is judged by what
its region has, and by MemAvailable and what can still be swapped out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from memd.model import AreaCap, Bounds, HeapKind, Level, Memory, Request, Rule, Usage, Verdict
from memd.policy.rules import capped
from memd.units import format_size

OWNER, ALL = "owner", "all"


@dataclass(frozen=True, slots=True)
class _Cap:
    """A limit with the use that counts against it; `limit` None does not bind. `what`: as in "rule camera: the owner"; `of`: of what,
    if not of all."""

    what: str
    scope: str
    limit: int | None
    use: int
    more: int
    bytes: bool = True
    of: str = ""

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
        or _untold(rule, request, memory)
        or _caps(rule, bounds, usage, request, memory)
        or _pressure(rule, bounds, level)
        or _floor(rule, bounds, request, memory)
        or _yes(rule, bounds, usage, request, memory)
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


def _untold(rule: Rule, request: Request, memory: Memory) -> Verdict | None:
    """A share of nobody knows what would be no cap."""
    if request.heap.kind is not HeapKind.CMA or memory.region_size is not None:
        return None
    cap = next(
        (cap for cap in rule.max_bytes_in + rule.total_bytes_in if cap.share and capped(cap, request.heap)), None
    )
    if cap is None:
        return None
    reason = (
        f"rule {rule.name}: {cap.share:.0%} of CMA area {request.heap.area} may be had, and this kernel does not tell its size; "
        f"an administrator can write a size, as in {cap.heap}:64M"
    )
    return refusal(rule.name, reason, "NotSupported")


def _in_area(
    what: str, scope: str, caps: Iterable[AreaCap], use: int, request: Request, memory: Memory
) -> Iterator[_Cap]:
    heap = request.heap
    whole = memory.region_size if heap.kind is HeapKind.CMA else memory.total
    for cap in caps:
        if capped(cap, heap):
            limit = cap.size if cap.share is None else int(cap.share * (whole or 0))
            yield _Cap(what, scope, limit, use, request.total, of=f" of {heap.name}")


def _list(rule: Rule, bounds: Bounds, usage: Usage, request: Request, memory: Memory) -> tuple[_Cap, ...]:
    size, count = request.total, len(request.sizes)
    own, everyone = f"rule {rule.name}: the owner", f"rule {rule.name}: all its owners together"
    return (
        *_in_area(own, OWNER, rule.max_bytes_in, usage.area_bytes, request, memory),
        *_in_area(everyone, ALL, rule.total_bytes_in, usage.rule_area_bytes, request, memory),
        _Cap(own, OWNER, rule.max_bytes, usage.share_bytes, size),
        _Cap(own, OWNER, rule.max_buffers, usage.share_buffers, count, bytes=False),
        _Cap("[Lending]: the owner", OWNER, bounds.max_buffers_per_owner, usage.owner_buffers, count, bytes=False),
        _Cap(everyone, ALL, rule.total_bytes, usage.rule_bytes, size),
        _Cap(everyone, ALL, rule.total_buffers, usage.rule_buffers, count, bytes=False),
        _Cap("[Lending]: all owners together", ALL, bounds.max_bytes, usage.total_bytes, size),
        _Cap("[Lending]: all owners together", ALL, bounds.max_buffers, usage.total_buffers, count, bytes=False),
    )


def _caps(rule: Rule, bounds: Bounds, usage: Usage, request: Request, memory: Memory) -> Verdict | None:
    cap = next((cap for cap in _list(rule, bounds, usage, request, memory) if cap.broken), None)
    if cap is None or cap.limit is None:
        return None
    say = _size_of if cap.bytes else _count_of
    reason = f"{cap.what} may have {say(cap.limit)}{cap.of}, {say(cap.use)} in use, {say(cap.more)} asked for"
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


def _yes(rule: Rule, bounds: Bounds, usage: Usage, request: Request, memory: Memory) -> Verdict:
    caps = [cap for cap in _list(rule, bounds, usage, request, memory) if cap.limit is not None]
    tightest = min(caps, key=lambda cap: cap.left)
    say = _size_of if tightest.bytes else _count_of
    limit = tightest.limit or 0
    reason = (
        f"allowed by rule {rule.name}; {tightest.what} may have {say(limit)}{tightest.of}, {say(tightest.use)} in use"
    )
    return Verdict(allowed=True, rule=rule.name, reason=reason, limit=limit, use=tightest.use)


def _size_of(size: int) -> str:
    return format_size(size)


def _count_of(count: int) -> str:
    return f"{count} buffer" if count == 1 else f"{count} buffers"
