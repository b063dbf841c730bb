"""May this request be granted? One pure function; every refusal is one sentence that names the rule, the limit and the use.

The floor: pages of the system heap, of udmabuf and of the simulated heap cannot be moved and cannot use CMA pages, which MemAvailable
counts, so they are judged by MemAvailable less CmaFree. A CMA request takes pages that others may have to leave: it is judged by what
its region has, and by MemAvailable and what can still be swapped out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from memd.model import AreaCap, Bounds, Heap, HeapKind, Level, Memory, Request, Rule, Usage, Verdict
from memd.policy.rules import capped
from memd.units import format_size

OWNER, ALL = "owner", "all"


class Cap(NamedTuple):
    """A limit that binds, and which number of a Usage counts against it. `what`: as in "rule camera: the owner"; `of`: of what, if not
    of all; `bytes`: else buffers are counted."""

    what: str
    scope: str
    limit: int
    field: str
    bytes: bool = True
    of: str = ""


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


def most_telling(verdicts: Sequence[tuple[Request, Verdict]]) -> tuple[Request, Verdict]:
    """Of several heaps: the first that serves, else the first that the caller may use at all."""
    allowed = next((pair for pair in verdicts if pair[1].allowed), None)
    return allowed or next((pair for pair in verdicts if pair[1].error != "NotAllowed"), verdicts[0])


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


@functools.lru_cache(256)
def caps(rule: Rule, bounds: Bounds, heap: Heap, whole: int) -> tuple[Cap, ...]:
    """What binds a request for this heap, in the order of telling. `whole`: bytes that shares are of."""
    own, everyone = f"rule {rule.name}: the owner", f"rule {rule.name}: all its owners together"
    lending, one = "[Lending]: all owners together", "[Lending]: the owner"
    rows = (
        *_in_area(own, OWNER, "area_bytes", rule.max_bytes_in, heap, whole),
        *_in_area(everyone, ALL, "rule_area_bytes", rule.total_bytes_in, heap, whole),
        (own, OWNER, rule.max_bytes, "share_bytes"),
        (own, OWNER, rule.max_buffers, "share_buffers", False),
        (one, OWNER, bounds.max_buffers_per_owner, "owner_buffers", False),
        (everyone, ALL, rule.total_bytes, "rule_bytes"),
        (everyone, ALL, rule.total_buffers, "rule_buffers", False),
        (lending, ALL, bounds.max_bytes, "total_bytes"),
        (lending, ALL, bounds.max_buffers, "total_buffers", False),
    )
    return tuple(Cap(*row) for row in rows if row[2] is not None)


def whole(heap: Heap, memory: Memory) -> int:
    """Bytes that a share in a limit is of: of the CMA area, of RAM where the heap has none."""
    return (memory.region_size if heap.kind is HeapKind.CMA else memory.total) or 0


def _in_area(
    what: str, scope: str, field: str, caps: Iterable[AreaCap], heap: Heap, whole: int
) -> Iterator[tuple[Any, ...]]:
    for cap in caps:
        if capped(cap, heap):
            limit = cap.size if cap.share is None else int(cap.share * whole)
            yield (what, scope, limit, field, True, f" of {heap.name}")


def _left(cap: Cap, usage: Usage, request: Request) -> int:
    """Of the limit, after the request; negative: broken."""
    left: int = cap.limit - getattr(usage, cap.field) - (request.total if cap.bytes else len(request.sizes))
    return left


def _caps(rule: Rule, bounds: Bounds, usage: Usage, request: Request, memory: Memory) -> Verdict | None:
    for cap in caps(rule, bounds, request.heap, whole(request.heap, memory)):
        if _left(cap, usage, request) < 0:
            say, more = (_size_of, request.total) if cap.bytes else (_count_of, len(request.sizes))
            use = getattr(usage, cap.field)
            reason = f"{cap.what} may have {say(cap.limit)}{cap.of}, {say(use)} in use, {say(more)} asked for"
            return refusal(rule.name, reason, "QuotaExceeded", cap.limit, use, cap.scope)
    return None


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
    """It tells the tightest cap: that of which the request leaves the smallest part."""
    rows = caps(rule, bounds, request.heap, whole(request.heap, memory))
    cap = min(rows, key=lambda cap: _left(cap, usage, request) / cap.limit if cap.limit else 0.0)
    say, use = _size_of if cap.bytes else _count_of, getattr(usage, cap.field)
    reason = f"allowed by rule {rule.name}; {cap.what} may have {say(cap.limit)}{cap.of}, {say(use)} in use"
    return Verdict(allowed=True, rule=rule.name, reason=reason, limit=cap.limit, use=use)


def _size_of(size: int) -> str:
    return format_size(size)


def _count_of(count: int) -> str:
    return f"{count} buffer" if count == 1 else f"{count} buffers"
