"""A plan's numbers, carried into the tree: one edit and one Change for each region concerned."""

from __future__ import annotations

import re

from memd.model_map import DeviceTree, MemoryMap, Node, Range, Region, RegionKind
from memd.policy import mapedit
from memd.policy.mapask import Action, Ask, Change, What
from memd.policy.mappieces import bound, span


class Result:
    """The tree as edited so far, and what changed."""

    def __init__(self, tree: DeviceTree, shape: MemoryMap) -> None:
        self.tree, self._shape = tree, shape
        self.changes: list[Change] = []
        # Counted from the end: what is added comes first.
        self._at = {child.path: index - len(tree.children) for index, child in enumerate(tree.children)}

    def finish(self) -> None:
        moves = {change.old: change.path for change in self.changes if change.what is What.MOVED and change.old}
        self.tree = mapedit.relabelled(self.tree, moves)

    def fulfil(self, ask: Ask, path: str, size: int, base: int | None) -> None:
        """What was asked for. `base` None: the kernel places it."""
        if ask.action is Action.ADD:
            self._add(ask, size, base)
        elif base is None:
            self._grow_dynamic(self._region(path), size)
        else:
            self._put(self._region(path), Range(base, size))

    def move(self, path: str, base: int) -> None:
        region = self._region(path)
        self._put(region, Range(base, region.size or 0))

    def pin(self, path: str, base: int) -> None:
        """A dynamic region gets alloc-ranges that leave one place; `cma=` has none to get."""
        at = self._at.get(path, 0 if any(change.path == path for change in self.changes) else None)
        if at is None:
            return
        one = self.tree.children[at]
        size = int.from_bytes(one.properties["size"], "big")
        self.tree = mapedit.changed(self.tree, at, alloc_ranges=mapedit.pair(Range(base, size), self._shape))
        region = self._shape.region(path)
        if region is not None and not any(change.path == path for change in self.changes):
            self.changes.append(Change(What.PINNED, one.name, path, region.kind, size, path, size))

    def _region(self, path: str) -> Region:
        return next(region for region in self._shape.regions if region.path == path)

    def _add(self, ask: Ask, size: int, base: int | None) -> None:
        name = ask.name if base is None else f"{ask.name}@{base:x}"
        path = f"{mapedit.PARENT}/{name}"
        values = _cma(ask, size, base, self._shape) if ask.kind is RegionKind.CMA else {"no-map": b""}
        if base is not None:
            values = {"reg": mapedit.pair(Range(base, size), self._shape), **values}
        self.tree = mapedit.added(self.tree, Node(name, path, values), ask.label or _label(ask.name, self.tree))
        now = None if base is None else Range(base, size)
        self.changes.append(Change(What.ADDED, name, path, ask.kind, size, now=now))

    def _grow_dynamic(self, region: Region, size: int) -> None:
        value = mapedit.cells(size, self._shape.size_cells)
        self.tree = mapedit.changed(self.tree, self._at[region.path], size=value)
        change = Change(What.GROWN, region.name, region.path, region.kind, size, region.path, region.size)
        self.changes.append(change)

    def _put(self, region: Region, now: Range) -> None:
        """Another reg; at another address also another name, for the address is part of it."""
        moved = now.base != region.base
        name = f"{region.name.partition('@')[0]}@{now.base:x}" if moved else region.name
        self.tree = mapedit.changed(self.tree, self._at[region.path], name, reg=mapedit.pair(now, self._shape))
        what = What.MOVED if moved else What.GROWN
        path = f"{mapedit.PARENT}/{name}"
        self.changes.append(
            Change(what, name, path, region.kind, now.size, region.path, region.size, region.fixed, now)
        )


def _cma(ask: Ask, size: int, base: int | None, shape: MemoryMap) -> dict[str, bytes]:
    """The vendor page's five properties; a region at an address has no use for the last three."""
    values = {"compatible": b"shared-dma-pool\0", "reusable": b""}
    if base is not None:
        return values
    alignment = max(bound(RegionKind.CMA, shape), ask.alignment or 1)
    low, high = span(ask.within)
    return {
        "compatible": values["compatible"],
        "alloc-ranges": mapedit.window(Range(low, high - low), shape),
        "reusable": b"",
        "alignment": mapedit.cells(alignment, shape.address_cells),
        "size": mapedit.cells(size, shape.size_cells),
    }


def _label(name: str, tree: DeviceTree) -> str:
    """As the vendor's page makes labels: my_cma -> my_cma_mem. One that is taken gets a number."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    plain = plain if plain.endswith("_mem") else f"{plain}_mem"
    plain = plain if not plain[0].isdigit() else f"_{plain}"
    taken = set(tree.labels.values())
    return next(label for label in (plain, *(f"{plain}{n}" for n in range(2, 10_000))) if label not in taken)
