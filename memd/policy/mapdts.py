"""Device tree source: what a plan adds and changes as an overlay, what it moves as text for the board's own .dts.

An overlay can neither move nor delete a node (libfdt merges), so a region at another address is deleted and written anew where dtc
reads the board's source; its label stays, and so everybody's reference to it. Format: Devicetree Specification 0.4, chapter 6, and
dtc's plug-ins.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from memd.model_map import Node
from memd.policy.mapask import Change, Drawn, What
from memd.policy.mapedit import PARENT, node

NUMBERS = {"reg", "size", "alignment", "alloc-ranges", "phandle", "iommu-addresses"}
ORDER = ("compatible", "reg", "alloc-ranges", "no-map", "reusable", "alignment", "size")  # the vendor page's


def value(name: str, raw: bytes) -> str:
    """One property with its value, `;` included."""
    if not raw:
        return f"{name};"
    if name not in NUMBERS and _is_text(raw):
        words = raw.rstrip(b"\0").decode("ascii", "backslashreplace").split("\0")
        return f"{name} = " + ", ".join(f'"{_escaped(word)}"' for word in words) + ";"
    if len(raw) % 4:
        return f"{name} = [{raw.hex(' ')}];"
    numbers = (int.from_bytes(raw[at : at + 4], "big") for at in range(0, len(raw), 4))
    return f"{name} = <{' '.join(f'{number:#x}' for number in numbers)}>;"


def _is_text(raw: bytes) -> bool:
    words = raw[:-1].split(b"\0")
    return raw[-1:] == b"\0" and all(word and word.isascii() and word.decode().isprintable() for word in words)


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def source(one: Node, label: str | None, only: Iterable[str] | None = None) -> list[str]:
    """A node as lines. A label makes the phandle; without one it is written out, because others refer to its number."""
    names = set(one.properties if only is None else only) - ({"phandle", "linux,phandle"} if label else set())
    names.discard("name")
    ordered = sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    head = f"{label}: {one.name} {{" if label else f"{one.name} {{"
    return [head, *(f"\t{value(name, one.properties[name])}" for name in ordered), "};"]


def indented(lines: Sequence[str], depth: int) -> list[str]:
    return ["\t" * depth + line for line in lines]


def overlay(plan: Drawn, devices: Sequence[str] = ()) -> str | None:
    """The source of an overlay (`dtc -@ -I dts -O dtb`); None where everything moves. `devices`: lines of nodes for the root."""
    fragments = [_change(plan, change) for change in plan.in_place if change.what is not What.ADDED]
    new = [change for change in plan.in_place if change.what is What.ADDED]
    if new:
        fragments.append(_additions(plan, new))
    if devices:
        fragments.append(_fragment("/", devices))
    if not fragments:
        return None
    lines = ["/dts-v1/;", "/plugin/;", "", "/ {"]
    for number, fragment in enumerate(fragments):
        lines += indented([f"fragment@{number} {{", *indented(fragment, 1), "};"], 1)
    return "\n".join([*lines, "};", ""])


def _fragment(target: str, lines: Sequence[str]) -> list[str]:
    return [f'target-path = "{target}";', "__overlay__ {", *indented(lines, 1), "};"]


def _additions(plan: Drawn, new: Sequence[Change]) -> list[str]:
    lines: list[str] = []
    for change in new:
        lines += source(node(plan.after_tree, change.path), plan.after_tree.labels.get(change.path))
    if plan.tree.reserved is not None:
        return _fragment(PARENT, lines)
    parent = source(plan.after_tree.reserved, None) if plan.after_tree.reserved else []
    return _fragment("/", [*parent[:-1], *indented(lines, 1), parent[-1]])


def _change(plan: Drawn, change: Change) -> list[str]:
    """Only the properties that differ, laid over the node where it is."""
    old, new = node(plan.tree, change.old or change.path), node(plan.after_tree, change.path)
    names = [name for name, raw in new.properties.items() if old.properties.get(name) != raw]
    return _fragment(change.path, [line[1:] for line in source(new, None, names)[1:-1]])


def moves(plan: Drawn) -> str | None:
    """Text for the end of the board's .dts; None where nothing moves."""
    lines = [f"/delete-node/ {(change.old or '').rpartition('/')[2]};" for change in plan.moved]
    for change in plan.moved:
        lines += source(node(plan.after_tree, change.path), plan.after_tree.labels.get(change.path))
    if not lines:
        return None
    return "\n".join(["/ {", "\treserved-memory {", *indented(lines, 2), "\t};", "};", ""])


def patch(name: str, text: str, addition: str) -> str:
    """A unified diff that appends `addition` to the file `name`, for patch -p1 or git apply."""
    old = text.splitlines(keepends=True)
    new = [*old[:-1], *(line.rstrip("\n") + "\n" for line in old[-1:]), "\n", *addition.splitlines(keepends=True)]
    lines = difflib.unified_diff(old, new, f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
