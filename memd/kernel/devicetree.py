"""The device tree: what of it speaks of memory. One reader for a flat tree (`.dtb`) and for the kernel's directory.

Documents: Devicetree Specification 0.4 (flat format 17: chapter 5; cells: 2.3.5; memory: 3.4; reserved-memory: 3.5),
Documentation/ABI/testing/sysfs-firmware-ofw (4.4; /proc/device-tree is a link to it).
Facts that bite: numbers are big-endian cells of 32 bits, strings end with NUL; a directory has one file for each property and `name` beside
them; /memreserve/ stands in the flat header only (/sys/firmware/fdt, for root); libfdt trusts its input unless fdt_check_full has
seen it whole: its FdtRo class looks at the header alone, and reads behind the end of a truncated file.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping
from types import ModuleType

from memd.errors import BadDeviceTree, NotSupported
from memd.kernel.root import Root
from memd.model_map import DeviceTree, Node, Range

DIRECTORY = "sys/firmware/devicetree/base"
FLAT = "sys/firmware/fdt"
MAX_FLAT = 16 << 20  # the largest board of Linux 7 has 400 KiB; arm64 boots none above 2 MiB
MAX_NODES = 200_000
MAX_DEPTH = 64
USER = "memory-region"
NO_LIBFDT = (
    "reading a device tree file needs libfdt's Python binding: apt install python3-libfdt, or pip install memd[map]"
)


def libfdt() -> ModuleType:
    """The binding; NotSupported, saying how to get it, where it is not installed."""
    try:
        import libfdt as binding
    except ImportError:
        raise NotSupported(NO_LIBFDT) from None
    return binding  # type: ignore[no-any-return]


def load(path: str) -> DeviceTree:
    """A `.dtb` file. OSError if it can't be read, BadDeviceTree if it is no device tree."""
    return parse(load_bytes(path), path)


def load_bytes(path: str) -> bytes:
    """At most MAX_FLAT bytes of a regular file or a pipe."""
    with open(path, "rb") as file:
        data = file.read(MAX_FLAT + 1)
    if len(data) > MAX_FLAT:
        raise BadDeviceTree(path, f"is larger than {MAX_FLAT >> 20}M, which no device tree is")
    return data


def parse(data: bytes, source: str) -> DeviceTree:
    """A flat tree in memory; BadDeviceTree, with libfdt's words, if it is none."""
    fdt = libfdt()
    flat = bytearray(data)
    checked(fdt, flat, source)
    try:
        return _Flat(fdt, flat, source).read()
    except (SystemError, UnicodeDecodeError):  # how the binding says that a property's name is no text
        raise BadDeviceTree(source, "has a name that is no text") from None


def checked(fdt: ModuleType, flat: bytearray, source: str) -> None:
    """Whole, and nothing in it points outside of it."""
    code = fdt.fdt_check_full(flat, len(flat))
    if code < 0:
        raise BadDeviceTree(source, f"is no device tree: {_words(fdt, code, flat)}")


def _words(fdt: ModuleType, code: int, flat: bytearray) -> str:
    if code == -fdt.BADMAGIC or len(flat) < 4:
        return "it doesn't begin as one (d0 0d fe ed); a .dts is compiled first, by dtc"
    told = struct.unpack_from(">I", flat, 4)[0] if len(flat) >= 8 else len(flat) + 1
    if code == -fdt.TRUNCATED and told > len(flat):
        return f"it is cut off (libfdt: {fdt.strerror(code)}): it has {len(flat)} bytes, of {told} or more"
    return f"libfdt says {fdt.strerror(code)}"


class _Flat:
    """One walk over a checked flat tree."""

    def __init__(self, fdt: ModuleType, flat: bytearray, source: str) -> None:
        self._fdt, self._flat, self._source = fdt, flat, source
        self._memory: list[Node] = []
        self._children: list[Node] = []
        self._users: dict[int, list[str]] = {}
        self._found: dict[str, Node] = {}

    def read(self) -> DeviceTree:
        root = Node("", "/", self._properties(0))
        for offset, depth, path in self._walk():
            self._visit(offset, depth, path)
        symbols = self._found.get("/__symbols__")
        return DeviceTree(
            source=self._source,
            root=root,
            memory=tuple(self._memory),
            chosen=self._found.get("/chosen"),
            reserved=self._found.get("/reserved-memory"),
            children=tuple(self._children),
            users={phandle: tuple(paths) for phandle, paths in self._users.items()},
            labels=labels(symbols),
            memreserve=tuple(self._memreserve()),
            has_symbols=symbols is not None,
        )

    def _walk(self) -> Iterator[tuple[int, int, str]]:
        """(offset, depth, path) of every node below the root."""
        next_node, get_name = self._fdt.fdt_next_node, self._fdt.fdt_get_name
        names = [""] * (MAX_DEPTH + 1)
        offset, depth = next_node(self._flat, 0, 0)
        count = 0
        while offset >= 0 and depth > 0:
            count += 1
            if depth > MAX_DEPTH or count > MAX_NODES:
                raise BadDeviceTree(self._source, f"has more than {MAX_DEPTH} levels or {MAX_NODES} nodes")
            names[depth] = get_name(self._flat, offset)[0]
            yield offset, depth, "/".join(names[: depth + 1])
            offset, depth = next_node(self._flat, offset, depth)

    def _visit(self, offset: int, depth: int, path: str) -> None:
        if depth == 1:
            self._top(offset, path)
        elif depth == 2 and path.startswith("/reserved-memory/"):
            self._children.append(self._node(offset, path))
        value = self._property(offset, USER)
        if value is not None:
            for phandle in set(cells(value)):
                self._users.setdefault(phandle, []).append(path)

    def _top(self, offset: int, path: str) -> None:
        if path in ("/chosen", "/reserved-memory", "/__symbols__"):
            self._found.setdefault(path, self._node(offset, path))
        elif is_memory(path[1:], self._property(offset, "device_type")):
            self._memory.append(self._node(offset, path))

    def _node(self, offset: int, path: str) -> Node:
        return Node(path.rpartition("/")[2], path, self._properties(offset))

    def _property(self, offset: int, name: str) -> bytes | None:
        """One value; None where it is not there."""
        found = self._fdt.fdt_getprop(self._flat, offset, name)
        if isinstance(found, int):
            # Debian 12's binding (1.6.1) answers with the bare code, and gives back a reference to None that it never took:
            # some hundred properties that are not there, and the interpreter aborts.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))
            return None
        return found[0]  # type: ignore[no-any-return]

    def _properties(self, offset: int) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        at = self._fdt.fdt_first_property_offset(self._flat, offset)
        while at >= 0:
            name, value, _ = self._fdt.fdt_get_property_by_offset(self._flat, at)
            found.setdefault(name, bytes(value))
            at = self._fdt.fdt_next_property_offset(self._flat, at)
        return found

    def _memreserve(self) -> Iterator[Range]:
        for index in range(self._fdt.fdt_num_mem_rsv(self._flat)):
            _, base, size = self._fdt.fdt_get_mem_rsv(self._flat, index)
            yield Range(base, size)


def read(root: Root) -> DeviceTree | None:
    """The running machine's, from its directory; None where it has no device tree (a PC). OSError where it can't be read."""
    if root.list(DIRECTORY) is None:
        return None
    top = root.path(DIRECTORY)
    names = root.list(DIRECTORY) or []
    symbols = _directory(top, "__symbols__")
    reserved = _directory(top, "reserved-memory")
    children = sorted(os.listdir(os.path.join(top, "reserved-memory"))) if reserved else []
    nodes = (_directory(top, f"reserved-memory/{name}") for name in children)
    memory = (_directory(top, name) for name in names if name.partition("@")[0] == "memory")
    return DeviceTree(
        source="/" + DIRECTORY,
        root=_directory(top, "") or Node("", "/"),
        memory=tuple(node for node in memory if node and is_memory(node.name, node.properties.get("device_type"))),
        chosen=_directory(top, "chosen"),
        reserved=reserved,
        children=tuple(node for node in nodes if node),
        users=_users(top),
        labels=labels(symbols),
        memreserve=_memreserve(root),
        has_symbols=symbols is not None,
    )


def _directory(top: str, name: str) -> Node | None:
    """A node and its properties; None where it is no directory. Links are not followed: a tree has none."""
    where = os.path.join(top, name)
    if (name and os.path.islink(where)) or not os.path.isdir(where):
        return None
    properties = {}
    with os.scandir(where) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as file:
                    properties[entry.name] = file.read(MAX_FLAT)
    properties.pop("name", None)  # the directory's own, in no tree
    return Node(os.path.basename(name), f"/{name}", properties)


def _users(top: str) -> Mapping[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for directory, below, files in os.walk(top):
        below.sort()
        if USER in files:
            with open(os.path.join(directory, USER), "rb") as file:
                for phandle in set(cells(file.read(MAX_FLAT))):
                    found.setdefault(phandle, []).append("/" + os.path.relpath(directory, top))
    return {phandle: tuple(paths) for phandle, paths in found.items()}


def _memreserve(root: Root) -> tuple[Range, ...]:
    """Of the flat tree that the kernel was given; it is root's alone, and nobody else is told."""
    try:
        data = load_bytes(root.path(FLAT))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    return reservations(data)


def reservations(data: bytes) -> tuple[Range, ...]:
    """The header's list of pairs of 64 bits, which ends with a pair of zeros: too little to need libfdt for."""
    found = []
    at = struct.unpack_from(">I", data, 16)[0] if len(data) >= 40 else len(data)
    while at + 16 <= len(data):
        base, size = struct.unpack_from(">QQ", data, at)
        if not (base or size):
            break
        found.append(Range(base, size))
        at += 16
    return tuple(found)


def is_memory(name: str, device_type: bytes | None) -> bool:
    """What the kernel takes for RAM: device_type "memory", nothing else."""
    return device_type is not None and bytes(device_type).rstrip(b"\0") == b"memory" and bool(name)


def labels(symbols: Node | None) -> Mapping[str, str]:
    """path -> label. A node may have several: the first stands."""
    found: dict[str, str] = {}
    for label, path in symbols.properties.items() if symbols else ():
        found.setdefault(path.rstrip(b"\0").decode("utf-8", "surrogateescape"), label)
    return found


def cells(value: bytes) -> tuple[int, ...]:
    """32-bit cells; a tail that is no whole cell is left out."""
    return struct.unpack(f">{len(value) // 4}I", value[: len(value) // 4 * 4])
