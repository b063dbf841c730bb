"""A device tree with one region added, changed or renamed: raw properties in, raw properties out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from memd.errors import InvalidArgs
from memd.model_map import DeviceTree, MemoryMap, Node, Range

PARENT = "/reserved-memory"


def cells(value: int, count: int) -> bytes:
    """`count` 32-bit cells; InvalidArgs where the number needs more."""
    if value >= 1 << (32 * count):
        raise InvalidArgs(f"{value:#x} needs two cells, and this tree has {count}: choose a place below 4G")
    return value.to_bytes(4 * count, "big")


def pair(where: Range, shape: MemoryMap) -> bytes:
    """A value of reg or alloc-ranges, by the root's cells."""
    return cells(where.base, shape.address_cells) + cells(where.size, shape.size_cells)


def window(where: Range, shape: MemoryMap) -> bytes:
    """alloc-ranges; where a size of 4G needs more cells than there are, one byte less, as the vendor's page writes it."""
    full = 1 << (32 * shape.size_cells)
    size = min(where.size, (1 << 32) - 1) if where.end == 1 << 32 and where.base == 0 else min(where.size, full - 1)
    return pair(Range(where.base, size), shape)


def node(tree: DeviceTree, path: str) -> Node:
    return next(child for child in tree.children if child.path == path)


def added(tree: DeviceTree, new: Node, label: str) -> DeviceTree:
    """First among its siblings: that is where libfdt puts a node of an overlay, and so the kernel places it first."""
    labels = {**tree.labels, new.path: label}
    return replace(tree, children=(new, *tree.children), labels=labels, reserved=tree.reserved or _parent(tree))


def _parent(tree: DeviceTree) -> Node:
    wanted = {name: tree.root.properties.get(name, b"\0\0\0\1") for name in ("#address-cells", "#size-cells")}
    return Node("reserved-memory", PARENT, {**wanted, "ranges": b""})


def changed(tree: DeviceTree, at: int, name: str | None = None, **values: bytes) -> DeviceTree:
    """The child at index `at` with other properties (`_` in a keyword stands for `-`), and another name if there is one.

    By index: while several move, one may get the name that another had a moment ago.
    """
    old = tree.children[at]
    properties = {**old.properties, **{word.replace("_", "-"): value for word, value in values.items()}}
    name = name or old.name
    children = list(tree.children)
    children[at] = replace(old, name=name, path=f"{PARENT}/{name}", properties=properties)
    return replace(tree, children=tuple(children))


def relabelled(tree: DeviceTree, moves: Mapping[str, str]) -> DeviceTree:
    """Labels go with their nodes; `moves`: old path -> new path, all at once."""
    return replace(tree, labels={moves.get(path, path): label for path, label in tree.labels.items()})
