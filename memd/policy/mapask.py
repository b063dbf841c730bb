"""Nouns of a plan: what is asked, what changes, and what comes out. Bytes throughout."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from memd.errors import Failed
from memd.model_map import DeviceTree, MemoryMap, Range, RegionKind

LOW = Range(0, 1 << 32)  # what a device with 32 address bits reaches


class NoRoom(Failed):
    """A proof that the map has no room for what was asked, with the reason and what would make room."""


class Undecidable(Failed):
    """The planner gave up: too many arrangements to try. No plan, and no proof either."""


class Action(enum.Enum):
    ADD = "add"
    GROW = "grow"
    MOVE = "move"
    CMA = "cma"


class What(enum.Enum):
    """What happens to a region. PINNED: a dynamic one gets alloc-ranges that leave one place."""

    ADDED = "added"
    GROWN = "grown"
    MOVED = "moved"
    PINNED = "pinned"


@dataclass(frozen=True, slots=True)
class Ask:
    """One wish. `name`: of a new region (no unit address), else node name, path or label of one that is there.

    `size`: bytes, rounded up to what the kind needs. `at`: the address, `within`: where it may lie. `alignment`: above what the kind
    needs. `may_move`: regions that may move although they are not reusable. `heap`: make a DMA-BUF heap of it. `argument`: of Action.CMA.
    """

    action: Action
    name: str = ""
    size: int | None = None
    kind: RegionKind = RegionKind.CARVE_OUT
    at: int | None = None
    within: Range = LOW
    alignment: int | None = None
    label: str | None = None
    may_move: tuple[str, ...] = ()
    heap: bool = False
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One region before and after. `name`, `path`: after the change; `old`: its path before, None where it is new. `was` and `now`: None
    for a dynamic region, whose `size` counts. A region that was grown and moved is MOVED."""

    what: What
    name: str
    path: str
    kind: RegionKind
    size: int
    old: str | None = None
    old_size: int | None = None
    was: Range | None = None
    now: Range | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The trees and maps before and after, and what differs. `notes`: what a person should know, a sentence each."""

    ask: Ask
    tree: DeviceTree
    after_tree: DeviceTree
    before: MemoryMap
    after: MemoryMap
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.what is What.MOVED)

    @property
    def in_place(self) -> tuple[Change, ...]:
        """Everything that an overlay can do."""
        return tuple(change for change in self.changes if change.what is not What.MOVED)
