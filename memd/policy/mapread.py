"""From device tree nodes to the memory map, as the kernel reads them: drivers/of/of_reserved_mem.c, drivers/of/fdt.c.

Numbers are read by the root's #address-cells and #size-cells, whatever /reserved-memory says of its own (the kernel ignores the whole node
where these differ). A value that makes no sense is a sentence in `problems` and None in its field, never 0.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace

from memd.model_map import DeviceTree, MemoryMap, Node, Range, Region, RegionKind
from memd.policy.mapcma import from_command_line

POOL = "shared-dma-pool"
CELLS_DEFAULT = 1  # OF_ROOT_NODE_*_CELLS_DEFAULT: the kernel's, where the specification says 2 and 1
TOP = 1 << 64
HEX = set("0123456789abcdef")


class Cells:
    """How many 32-bit cells an address and a size have."""

    __slots__ = ("address", "size")

    def __init__(self, address: int, size: int) -> None:
        self.address, self.size = address, size

    @property
    def sane(self) -> bool:
        return self.address in (1, 2) and self.size in (1, 2)

    def pairs(self, value: bytes) -> tuple[Range, ...] | None:
        """(base, size) after (base, size); None where the length fits no whole number of pairs."""
        step = 4 * (self.address + self.size)
        if not self.sane or len(value) % step:
            return None
        split = 4 * self.address
        return tuple(
            Range(_number(value[at : at + split]), _number(value[at + split : at + step]))
            for at in range(0, len(value), step)
        )


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def read(tree: DeviceTree, *, page_block: int | None = None, command_line: str | None = None) -> MemoryMap:
    """The map of one tree. `command_line`: the running kernel's; without it, the tree's /chosen bootargs count."""
    cells, problems = _root_cells(tree.root)
    ignored = _ignored(tree, cells)
    line = command_line if command_line is not None else _bootargs(tree.chosen)
    return MemoryMap(
        source=tree.source,
        board=next(iter(strings(tree.root.properties.get("model", b""))), None),
        compatible=strings(tree.root.properties.get("compatible", b"")),
        ram=_ram(tree.memory, cells),
        regions=tuple(_region(node, tree, cells) for node in tree.children),
        memreserve=tree.memreserve,
        address_cells=cells.address,
        size_cells=cells.size,
        has_reserved=tree.reserved is not None,
        page_block=page_block,
        cma=from_command_line(line or ""),
        command_line=line,
        ignored=ignored,
        problems=(*problems, *_ranges(tree)),
        has_symbols=tree.has_symbols,
    )


def strings(value: bytes) -> tuple[str, ...]:
    """NUL-ended strings of a property; undecodable bytes are kept as surrogates."""
    return tuple(text.decode("utf-8", "surrogateescape") for text in value.rstrip(b"\0").split(b"\0") if text)


def _cell(value: bytes | None) -> int | None:
    return struct.unpack(">I", value)[0] if value is not None and len(value) == 4 else None


def _root_cells(root: Node) -> tuple[Cells, list[str]]:
    found, problems = [], []
    for name in ("#address-cells", "#size-cells"):
        value = _cell(root.properties.get(name))
        if value is None:
            problems.append(
                f"the root has no {name} (or one that is no single cell); the kernel takes {CELLS_DEFAULT}"
            )
        elif value not in (1, 2):
            problems.append(
                f"the root's {name} is {value}, where 1 or 2 is possible: no address of this tree can be read"
            )
        found.append(CELLS_DEFAULT if value is None else value)
    return Cells(found[0], found[1]), problems


def _ignored(tree: DeviceTree, cells: Cells) -> str | None:
    """Why the kernel ignores /reserved-memory as a whole ("unsupported node format")."""
    if tree.reserved is None:
        return None
    properties = tree.reserved.properties
    for name, root in (("#address-cells", cells.address), ("#size-cells", cells.size)):
        own = _cell(properties.get(name))
        if own != root:
            return f"/reserved-memory has {f'{name} {own}' if own is not None else f'no {name}'}, the root has {root}"
    return None if "ranges" in properties else "/reserved-memory has no ranges property"


def _ranges(tree: DeviceTree) -> list[str]:
    """Only an empty one means that a child's address is the memory's."""
    if tree.reserved is None or not tree.reserved.properties.get("ranges"):
        return []
    return ["/reserved-memory has ranges that are not empty: the kernel takes its children's addresses as they stand"]


def _bootargs(chosen: Node | None) -> str | None:
    return (
        next(iter(strings(chosen.properties["bootargs"])), "") if chosen and "bootargs" in chosen.properties else None
    )


def _ram(nodes: tuple[Node, ...], cells: Cells) -> tuple[Range, ...] | None:
    """None where no node says a size: the bootloader fills it in."""
    found = []
    for node in nodes:
        if enabled(node):
            value = node.properties.get("linux,usable-memory", node.properties.get("reg", b""))
            found += [one for one in cells.pairs(value) or () if one.size]
    return tuple(sorted(found)) or None


def enabled(node: Node) -> bool:
    """As of_fdt_device_is_available has it: no status, or okay."""
    return "status" not in node.properties or strings(node.properties["status"])[:1] in (("okay",), ("ok",))


def _region(node: Node, tree: DeviceTree, cells: Cells) -> Region:
    values = node.properties
    phandle = _cell(values.get("phandle", values.get("linux,phandle")))
    unit_text = node.name.partition("@")[2] if "@" in node.name else None
    plain = Region(
        name=node.name,
        path=node.path,
        kind=_kind(values),
        no_map="no-map" in values,
        reusable="reusable" in values,
        compatible=strings(values.get("compatible", b"")),
        label=tree.labels.get(node.path),
        phandle=phandle,
        users=tree.users.get(phandle, ()) if phandle is not None else (),
        unit=_unit(unit_text),
        unit_text=unit_text,
        enabled=enabled(node),
        status=next(iter(strings(values.get("status", b""))), None),
        cma_default="linux,cma-default" in values,
        has_reg="reg" in values,
        has_size="size" in values,
    )
    return _with_numbers(plain, values, cells)


def _kind(values: Mapping[str, bytes]) -> RegionKind:
    if "no-map" in values:
        return RegionKind.CARVE_OUT
    pool = POOL in strings(values.get("compatible", b""))
    return RegionKind.CMA if pool and "reusable" in values else RegionKind.OTHER


def _unit(text: str | None) -> int | None:
    """The number behind the @. The vendor's page writes one with 0x, which the specification does not; so both are read."""
    digits = (text or "").lower().removeprefix("0x").replace(",", "")
    return (
        int(digits, 16)
        if digits and all(char in "0123456789abcdef" for char in digits) and len(digits) <= 16
        else None
    )


def _with_numbers(region: Region, values: Mapping[str, bytes], cells: Cells) -> Region:
    problems: list[str] = []
    places = _pairs("reg", values, cells, problems)
    size = _exactly("size", values, cells.size, "size", problems)
    return replace(
        region,
        base=places[0].base if places else None,
        size=places[0].size if places else size if "reg" not in values else None,
        size_property=size,
        more=places[1:],
        alignment=_exactly("alignment", values, cells.address, "address", problems),
        alloc_ranges=_pairs("alloc-ranges", values, cells, problems),
        problems=tuple(problems),
    )


def _pairs(name: str, values: Mapping[str, bytes], cells: Cells, problems: list[str]) -> tuple[Range, ...]:
    if name not in values:
        return ()
    found = cells.pairs(values[name])
    if not found:
        step = 4 * (cells.address + cells.size)
        problems.append(
            f"{name} has {len(values[name])} bytes, where {cells.address} address and {cells.size} size cells make {step}"
        )
        return ()
    beyond = [one for one in found if one.end > TOP]
    if beyond:
        problems.append(f"{name} ends behind the last address: {beyond[0].base:#x} and {beyond[0].size:#x} bytes")
    return tuple(one for one in found if one.end <= TOP)


def _exactly(name: str, values: Mapping[str, bytes], count: int, what: str, problems: list[str]) -> int | None:
    if name not in values:
        return None
    if len(values[name]) != 4 * count or count not in (1, 2):
        problems.append(f"{name} has {len(values[name])} bytes, where the root's #{what}-cells make {4 * count}")
        return None
    return _number(values[name])
