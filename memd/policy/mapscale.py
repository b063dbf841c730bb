"""A map along a line: where an address lies between 0 and 1, and what lies between the regions. For every picture of a map.

To scale, but for holes without memory that would push everything else together: such a hole is broken, has a fixed length, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from memd.model_map import MemoryMap, Range, Region
from memd.policy import mappieces, maproom
from memd.policy.mapfit import subtract
from memd.policy.mapspace import joined, without

BROKEN = 0.05  # of the line, for one broken hole
TOO_LONG = 0.25  # a hole longer than this share of the rest is broken
MOST_BROKEN = 0.4  # of the line, for all broken holes together


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the line: `start`..`stop` of 0..1 for the addresses of `range`. `ram`: False is a hole, `broken`: not to scale."""

    range: Range
    start: float
    stop: float
    ram: bool
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """The line, stretches by rising address. `ram_known`: False where no source tells what is RAM; then all counts as RAM."""

    stretches: tuple[Stretch, ...]
    ram_known: bool

    def at(self, address: int) -> float:
        """0..1; addresses outside are at the ends."""
        for one in self.stretches:
            if address <= one.range.end:
                inside = max(address - one.range.base, 0) / one.range.size
                return one.start + inside * (one.stop - one.start)
        return 1.0


@dataclass(frozen=True, slots=True)
class Spot:
    """A region where it is drawn; `foretold`: the kernel chooses, and this is where its order should put it. `range` None: nobody knows."""

    region: Region
    range: Range | None
    foretold: bool = False


def axis(maps: Sequence[MemoryMap], spots: Sequence[Spot]) -> Axis:
    """One line for one or more maps of a board, so that before and after compare."""
    known = [one for shape in maps for one in shape.ram or ()]
    used = [spot.range for spot in spots if spot.range and spot.range.size]
    used += [one for shape in maps for one in shape.memreserve if one.size]
    if not known and not used:
        return Axis((), ram_known=False)
    first = min(one.base for one in (*known, *used))
    whole = Range(first, max(one.end for one in (*known, *used)) - first)
    banks = joined(known) if known else (whole,)
    parts = [(one, True) for one in banks] + [(one, False) for one in without((whole,), banks)]
    return Axis(tuple(_stretches(sorted(parts), used)), ram_known=bool(known))


def _stretches(parts: Sequence[tuple[Range, bool]], used: Sequence[Range]) -> Iterator[Stretch]:
    total = sum(one.size for one, ram in parts if ram)
    breaks = [
        not ram and one.size > TOO_LONG * total and not any(one.overlaps(other) for other in used)
        for one, ram in parts
    ]
    gap = min(BROKEN, MOST_BROKEN / max(sum(breaks), 1))
    rest = sum(one.size for (one, _), broken in zip(parts, breaks, strict=True) if not broken)
    start = 0.0
    for (one, ram), broken in zip(parts, breaks, strict=True):
        length = gap if broken else one.size / rest * (1 - gap * sum(breaks))
        yield Stretch(one, start, start + length, ram, broken)
        start += length


def spots(shape: MemoryMap) -> tuple[Spot, ...]:
    """Every enabled region, by rising address, those that nobody can place at the end."""
    landing = _landing(shape)
    found = [_spot(region, landing) for region in shape.regions if region.enabled]
    return tuple(sorted(found, key=lambda spot: (spot.range is None, spot.range or Range(0, 0), spot.region.name)))


def _spot(region: Region, landing: Mapping[str, int]) -> Spot:
    if region.where is not None:
        return Spot(region, region.where)
    if region.path in landing and region.size:
        return Spot(region, Range(landing[region.path], region.size), foretold=True)
    return Spot(region, None)


def _landing(shape: MemoryMap) -> dict[str, int]:
    """Where the kernel's own order puts what has no place yet."""
    if not shape.ram:
        return {}
    stays = [mappieces.span(one.where) for one in shape.regions if one.enabled and one.where]
    stays += [mappieces.span(one) for one in shape.memreserve]
    homeless = {one.path for one in shape.regions if one.where is None}
    pieces = [piece for piece in mappieces.dynamic(shape) if piece.name in homeless]
    return maproom.kernel_places(pieces, subtract([mappieces.span(one) for one in joined(shape.ram)], stays))


def gaps(line: Axis, drawn: Sequence[Spot], held: Sequence[Range] = ()) -> tuple[Stretch, ...]:
    """What lies between the regions: free RAM and holes, stretch by stretch."""
    taken = [spot.range for spot in drawn if spot.range] + list(held)
    return tuple(
        Stretch(free, line.at(free.base), line.at(free.end), one.ram, one.broken)
        for one in line.stretches
        for free in without((one.range,), taken)
    )
