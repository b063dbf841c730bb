"""A device tree as dtc decodes it: the independent second reading that memd's is held against. It shares no code with memd."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field

from memd.model_map import MemoryMap

WORD = re.compile(r"^(?P<name>[^=;]+?)(?: = (?P<value>.*))?;$")
RESERVATION = re.compile(r"^/memreserve/\s+(0x[0-9a-f]+) (0x[0-9a-f]+);$")


@dataclass
class Decoded:
    """A node: raw property texts, children in order."""

    name: str
    values: dict[str, str] = field(default_factory=dict)
    children: list[Decoded] = field(default_factory=list)

    def child(self, name: str) -> Decoded | None:
        return next((one for one in self.children if one.name == name), None)


def decode(flat: bytes) -> tuple[Decoded, list[tuple[int, int]]]:
    """The root and /memreserve/ of `dtc -O dts`."""
    done = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts"], input=flat, capture_output=True, check=True)
    top = Decoded("")
    stack, reservations = [top], []
    for raw in done.stdout.decode("utf-8", "surrogateescape").split("\n"):
        line = raw.strip()
        if line.endswith("{"):
            node = Decoded(line[:-1].strip().rpartition(": ")[2])
            stack[-1].children.append(node)
            stack.append(node)
        elif line == "};":
            stack.pop()
        elif found := RESERVATION.match(line):
            reservations.append((int(found[1], 16), int(found[2], 16)))
        elif found := WORD.match(line):
            stack[-1].values[found["name"]] = found["value"] or ""
    return top.children[0], reservations


def _bytes(text: str) -> bytes:
    """`<0x01 0x02>`, `[01 02]`, `"a", "b"`: joined."""
    parts = re.findall(r"<([^>]*)>|\[([^\]]*)\]|\"((?:[^\"\\]|\\.)*)\"", text)
    return b"".join(
        b"".join(int(word, 16).to_bytes(4, "big") for word in cells.split()) + bytes.fromhex(hexes)
        if cells or hexes
        else _unescaped(words).encode("latin-1") + b"\0"
        for cells, hexes, words in parts
    )


def _unescaped(text: str) -> str:
    return text.encode("latin-1", "surrogateescape").decode("unicode_escape")


def _number(text: str | None) -> int:
    return int.from_bytes(_bytes(text or ""), "big")


def regions(root: Decoded) -> list[tuple[object, ...]]:
    """(name, base, size, alignment, alloc-ranges, no-map, reusable, compatible, enabled) of each child of /reserved-memory."""
    address, size = (_number(root.values.get(name)) for name in ("#address-cells", "#size-cells"))
    reserved = root.child("reserved-memory")
    return [_region(one, 4 * address, 4 * size) for one in (reserved.children if reserved else ())]


def _region(node: Decoded, address: int, size: int) -> tuple[object, ...]:
    values = {name: _bytes(text) for name, text in node.values.items()}
    first = _pairs(values.get("reg", b""), address, size)
    alignment = values.get("alignment")
    own = int.from_bytes(values["size"], "big") if "size" in values and "reg" not in values else None
    return (
        node.name,
        first[0][0] if first else None,
        first[0][1] if first else own,
        int.from_bytes(alignment, "big") if alignment and len(alignment) == address else None,
        tuple(_pairs(values.get("alloc-ranges", b""), address, size)),
        "no-map" in values,
        "reusable" in values,
        tuple(word.decode() for word in values.get("compatible", b"").split(b"\0") if word),
        values.get("status", b"okay\0") in (b"okay\0", b"ok\0"),
    )


def _pairs(value: bytes, address: int, size: int) -> list[tuple[int, int]]:
    step = address + size
    return [
        (
            int.from_bytes(value[at : at + address], "big"),
            int.from_bytes(value[at + address : at + step], "big"),
        )
        for at in range(0, len(value), step)
    ]


def users(root: Decoded) -> dict[int, set[str]]:
    """phandle -> paths of nodes that name it in memory-region."""
    found: dict[int, set[str]] = {}

    def visit(node: Decoded, path: str) -> None:
        value = _bytes(node.values.get("memory-region", ""))
        for at in range(0, len(value), 4):
            found.setdefault(int.from_bytes(value[at : at + 4], "big"), set()).add(path or "/")
        for child in node.children:
            visit(child, f"{path}/{child.name}")

    visit(root, "")
    return found


def differences(told: MemoryMap, flat: bytes) -> list[str]:
    """What memd read otherwise than dtc; empty where they agree."""
    root, reservations = decode(flat)
    mine = [
        (
            one.name, one.base, one.size, one.alignment, tuple((part.base, part.size) for part in one.alloc_ranges),
            one.no_map, one.reusable, one.compatible, one.enabled,
        )
        for one in told.regions
    ]  # fmt: skip
    theirs = regions(root)
    found = [f"{one} is not {other}" for one, other in zip(mine, theirs, strict=False) if one != other]
    if len(mine) != len(theirs):
        found.append(f"{len(mine)} regions are not {len(theirs)}")
    if [(one.base, one.size) for one in told.memreserve] != reservations:
        found.append(f"{told.memreserve} is not {reservations}")
    named = users(root)
    wrong = [one.name for one in told.regions if set(one.users) != named.get(one.phandle or 0, set())]
    model = _bytes(root.values.get("model", "")).rstrip(b"\0").decode("utf-8", "surrogateescape") or None
    return [*found, *(f"users of {name}" for name in wrong), *([] if model == told.board else [f"model {model}"])]
