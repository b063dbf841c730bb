"""What is charged, and to whom: bytes and buffers by owner, by rule, by area and in all, reservations included. Counting only: what is
alive is the ledger's word.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from memd.model import WRITTEN_OFF, Buffer, Heap, Usage
from memd.policy.admission import Cap

Key = tuple[str, ...]


class Use:
    __slots__ = ("buffers", "bytes")

    def __init__(self, bytes: int = 0, buffers: int = 0) -> None:  # noqa: A002  # as everywhere in the books
        self.bytes, self.buffers = bytes, buffers


NOTHING = Use()


@dataclass(slots=True, eq=False)
class Reservation:
    """A place in the books for a request that is on its way. Ends in `book` or `give_back`, exactly once. `outside`: what of it may come
    from memory outside of CMA areas; `at_kernel`: its worker has begun, so that the kernel may have taken some of it already."""

    owner: str
    rule: str
    heap: Heap
    sizes: tuple[int, ...]
    outside: int
    at_kernel: bool = False


class Limit(NamedTuple):
    """A cap with the entries that count against it."""

    keys: tuple[Key, ...]
    bytes: bool
    most: int


class Charges:
    """Whoever has nothing has no entry, so that this is bounded by the buffers there may be."""

    def __init__(self) -> None:
        self._uses: dict[Key, Use] = {}
        self._open: set[Reservation] = set()

    def usage(self, owner: str, rule: str, areas: Iterable[str], area: str = "") -> Usage:
        """`areas`: those of the heaps that the deciding rule names; `area`: that of the request's heap."""
        everyone, own, by_rule = self._use("all"), self._use("owner", owner), self._use("rule", rule)
        shares = [self._use("share", owner, area) for area in set(areas)]
        return Usage(
            total_bytes=everyone.bytes,
            total_buffers=everyone.buffers,
            owner_bytes=own.bytes,
            owner_buffers=own.buffers,
            share_bytes=sum(share.bytes for share in shares),
            share_buffers=sum(share.buffers for share in shares),
            rule_bytes=by_rule.bytes,
            rule_buffers=by_rule.buffers,
            area_bytes=self._use("share", owner, area).bytes,
            rule_area_bytes=self._use("rule", rule, area).bytes,
        )

    def limits(self, caps: Iterable[Cap], owner: str, rule: str, areas: Iterable[str], area: str) -> tuple[Limit, ...]:
        """For `fits`, for as long as the caps are these."""
        shares = tuple(set(areas))
        return tuple(Limit(_counted(cap.field, owner, rule, shares, area), cap.bytes, cap.limit) for cap in caps)

    def fits(self, limits: Iterable[Limit], size: int, count: int) -> bool:
        """Whether so much more breaks none of them: what admission says of the caps, in a fiftieth of the time."""
        for keys, by_bytes, most in limits:
            use = self._uses.get(keys[0], NOTHING) if len(keys) == 1 else self._sum(keys)
            if (use.bytes + size if by_bytes else use.buffers + count) > most:
                return False
        return True

    def _sum(self, keys: Iterable[Key]) -> Use:
        uses = [self._uses.get(key, NOTHING) for key in keys]
        return Use(sum(use.bytes for use in uses), sum(use.buffers for use in uses))

    def total(self) -> tuple[int, int]:
        """(bytes, buffers) of all together."""
        use = self._use("all")
        return use.bytes, use.buffers

    def owners(self) -> dict[str, tuple[int, int]]:
        """Owner -> (bytes, buffers) that are charged to him."""
        return {key[1]: (use.bytes, use.buffers) for key, use in self._uses.items() if key[0] == "owner"}

    def buffers_of(self, area: str) -> int:
        return self._use("area", area).buffers

    def areas(self) -> set[str]:
        """Of which anything is lent or reserved."""
        return {key[1] for key in self._uses if key[0] == "area"}

    def pending(self, area: str | None) -> int:
        """Bytes that are promised and not yet taken from the kernel, of one area or of all."""
        return sum(sum(one.sizes) for one in self._open if area in {None, one.heap.area})

    def waiting(self, area: str) -> int:
        """Of that, bytes of one area of which the kernel has certainly taken nothing."""
        return sum(sum(one.sizes) for one in self._open if one.heap.area == area and not one.at_kernel)

    def pending_outside(self) -> int:
        """Of that, bytes that may come from memory outside of CMA areas."""
        return sum(one.outside for one in self._open)

    def reserving(self) -> set[str]:
        """Owners with requests on their way."""
        return {reservation.owner for reservation in self._open}

    def reserve(self, reservation: Reservation) -> None:
        self._open.add(reservation)
        self._reserved(reservation, 1)

    def give_back(self, reservation: Reservation) -> None:
        self._open.remove(reservation)
        self._reserved(reservation, -1)

    def taken(self, reservation: Reservation) -> None:
        """It is buffers now, which are charged as it was."""
        self._open.remove(reservation)

    def count(self, buffer: Buffer, times: int) -> None:
        """1 when it is lent, -1 when it is back. Who was let off pays nothing, and all lending together does."""
        if buffer.state == WRITTEN_OFF:
            self._add((("all",), ("area", buffer.area)), times * buffer.size, times)
        else:
            self._charge(buffer.owner, buffer.rule, buffer.area, times * buffer.size, times)

    def _reserved(self, one: Reservation, times: int) -> None:
        self._charge(one.owner, one.rule, one.heap.area, times * sum(one.sizes), times * len(one.sizes))

    def _charge(self, owner: str, rule: str, area: str, size: int, count: int) -> None:
        self._add(_keys(owner, rule, area), size, count)

    def _add(self, keys: tuple[Key, ...], size: int, count: int) -> None:
        uses = self._uses
        for key in keys:
            use = uses.get(key)
            if use is None:
                use = uses[key] = Use()
            use.bytes += size
            use.buffers += count
            if not use.buffers:
                del uses[key]

    def _use(self, *key: str) -> Use:
        return self._uses.get(key) or NOTHING


@functools.lru_cache(256)
def _keys(owner: str, rule: str, area: str) -> tuple[Key, ...]:
    """What a buffer counts against."""
    return ("all",), ("area", area), ("owner", owner), ("share", owner, area), ("rule", rule), ("rule", rule, area)


def _counted(field: str, owner: str, rule: str, areas: tuple[str, ...], area: str) -> tuple[Key, ...]:
    """The entries that a field of a Usage is the sum of."""
    name = field.rpartition("_")[0]
    if name == "share":
        return tuple(("share", owner, one) for one in areas)
    key: dict[str, Key] = {
        "total": ("all",),
        "owner": ("owner", owner),
        "rule": ("rule", rule),
        "area": ("share", owner, area),
        "rule_area": ("rule", rule, area),
    }
    return (key[name],)
