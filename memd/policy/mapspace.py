"""What is wrong between regions: overlaps, /memreserve/, RAM, and room for what the kernel places."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from memd.model_map import MemoryMap, Range, Region, RegionKind
from memd.policy.mapchecks import MANY_REGIONS, Hit, alignment, hit

EVERYWHERE = (Range(0, 1 << 64),)
MOST = 100  # overlaps that are told; a hostile tree has millions


def of_space(new: MemoryMap) -> Iterator[Hit]:
    live = [one for one in new.regions if one.enabled]
    yield from _overlaps(live)
    yield from _memreserve(live, new.memreserve)
    yield from _ram(live, new)
    yield from _room(live, new)


def _overlaps(live: Sequence[Region]) -> Iterator[Hit]:
    spans = sorted(
        ((one.where, one) for one in live if one.where and one.where.size), key=lambda pair: pair[0] or Range(0, 0)
    )
    count = 0
    for at, (span, one) in enumerate(spans):
        for other_span, other in spans[at + 1 :]:
            if not (span and other_span) or other_span.base >= span.end:
                break
            count += 1
            if count > MOST:
                yield Hit(
                    "overlap", "/reserved-memory", f"more than {MOST} pairs of regions overlap; the rest is not told"
                )
                return
            yield _overlap(one, span, other, other_span)


def _overlap(one: Region, span: Range, other: Region, other_span: Range) -> Hit:
    return Hit(
        "overlap",
        other.path,
        f"{one.name} ({span}) and {other.name} ({other_span}) overlap",
        (span, other_span),
        (one.name, other.name),
        f"move {other.name} to {span.end:#x} or behind, and all that follow it; memctl map plan does it",
    )


def _memreserve(live: Sequence[Region], entries: Sequence[Range]) -> Iterator[Hit]:
    held = joined([entry for entry in entries if entry.size])
    count = 0
    for one in live if held else ():
        span = one.where
        if not span or not (entry := _touching(held, span)):
            continue
        count += 1
        if count > MOST:
            return
        words = f"{one.name} ({span}) and /memreserve/ {entry} overlap"
        yield Hit("memreserve", one.path, words, (span, entry), (one.name,))


def _touching(held: Sequence[Range], span: Range) -> Range | None:
    """The last of the sorted ranges that has a byte of `span`."""
    at = bisect.bisect_left(held, Range(span.end, 0)) - 1
    return held[at] if at >= 0 and held[at].overlaps(span) else None


def _ram(live: Sequence[Region], new: MemoryMap) -> Iterator[Hit]:
    """Only where RAM is known: most trees leave it to the bootloader."""
    if not new.ram_known or not new.ram:
        return
    ram = joined(new.ram)
    for one in live:
        span = one.fixed
        if span and span.size and not any(part.holds(span) for part in ram):
            rule = "cma-outside-ram" if one.kind is RegionKind.CMA else "outside-ram"
            partly = "partly " if any(part.overlaps(span) for part in ram) else ""
            yield hit(rule, one, f"{one.name} ({span}) lies {partly}outside RAM")


def joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Sorted, what touches or overlaps made one."""
    found: list[Range] = []
    for one in sorted(ranges):
        if found and one.base <= found[-1].end:
            found[-1] = Range(found[-1].base, max(found[-1].end, one.end) - found[-1].base)
        else:
            found.append(one)
    return tuple(found)


def _room(live: Sequence[Region], new: MemoryMap) -> Iterator[Hit]:
    """Dynamic regions in the kernel's own order: as the tree has them, each at the highest place that is left."""
    taken = [one.fixed for one in live if one.fixed] + list(new.memreserve)
    gaps = list(without(new.ram if new.ram_known and new.ram else (Range(0, 1 << 48),), taken))
    placed = [one for one in live if not one.has_reg and one.size and one.path and not one.problems]
    for one in placed[:MANY_REGIONS]:  # the kernel skips the rest
        align = alignment(one, new.page_block)
        place = highest(gaps, one, align)
        if place is None:
            if highest(one.alloc_ranges or EVERYWHERE, one, align):  # else another rule tells of its alloc-ranges
                yield hit(
                    "no-room", one, f"{one.name} ({(one.size or 0) >> 10}K) finds no room between the fixed regions"
                )
            continue
        gaps = list(without(gaps, (place,)))


def without(spans: Sequence[Range], taken: Sequence[Range]) -> Iterator[Range]:
    """`spans` less what is `taken`, sorted; one pass over both."""
    holes = joined(taken)
    at = 0
    for span in joined(spans):
        start = span.base
        while at < len(holes) and holes[at].end <= start:
            at += 1
        here = at
        while here < len(holes) and holes[here].base < span.end:
            if holes[here].base > start:
                yield Range(start, holes[here].base - start)
            start = max(start, holes[here].end)
            here += 1
        if start < span.end:
            yield Range(start, span.end - start)


def highest(gaps: Sequence[Range], one: Region, align: int) -> Range | None:
    """Where memblock puts it: the first of its alloc-ranges that has room, the highest place in it. None: there is no room."""
    size = one.size or 0
    for window in one.alloc_ranges or EVERYWHERE:
        for gap in reversed(gaps):
            base = (min(gap.end, window.end) - size) // align * align
            if base >= max(gap.base, window.base):
                return Range(base, size)
    return None
