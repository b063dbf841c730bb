"""The device tree, flat and as a directory: the same nodes by both ways; good, missing, garbage."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memd.errors import BadDeviceTree
from memd.kernel import devicetree
from memd.kernel.root import Root
from memd.model_map import DeviceTree, Range
from tests.trees import board, compiled, vendor

Put = Callable[[str, str | bytes], None]


def unpack(flat: bytes, top: Path) -> None:
    """What the kernel makes of a flat tree under /sys/firmware/devicetree/base."""
    import libfdt

    tree = libfdt.FdtRo(flat)
    offset, depth, names = 0, 0, [""]
    while True:
        where = top.joinpath(*names[1 : depth + 1])
        where.mkdir(parents=True, exist_ok=True)
        at = tree.first_property_offset(offset, [libfdt.NOTFOUND])
        while at >= 0:
            found = tree.get_property_by_offset(at)
            (where / found.name).write_bytes(bytes(found))
            at = tree.next_property_offset(at, [libfdt.NOTFOUND])
        (where / "name").write_bytes((names[depth].partition("@")[0]).encode() + b"\0")
        offset, depth = libfdt.fdt_next_node(tree._fdt, offset, depth)
        if offset < 0 or depth <= 0:
            return
        names = [*names[:depth], tree.get_name(offset)]


def test_both_ways_give_the_same(root: Root, tmp_path: Path) -> None:
    text = board(
        "b: b@80000000 { reg = <0 0x80000000 0 0x100000>; no-map; }; a { size = <0 0x100000>; };",
        'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };'
        'chosen { bootargs = "quiet"; }; deep { er { memory-region = <&b>; }; };',
    )
    flat = compiled(text.replace("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x1000 0x2000;"))
    unpack(flat, tmp_path / devicetree.DIRECTORY)
    (tmp_path / devicetree.FLAT).write_bytes(flat)

    read = devicetree.read(root)
    parsed = devicetree.parse(flat, "vendor.dtb")

    assert read is not None
    assert _sorted(read) == replace(_sorted(parsed), source=read.source)


def _sorted(tree: DeviceTree) -> DeviceTree:
    """A directory has no order but that of names."""
    return replace(tree, children=tuple(sorted(tree.children, key=lambda node: node.name)))


def test_users_labels_and_reservations() -> None:
    text = board("b: b@80000000 { reg = <0 0x80000000 0 0x100000>; };", "deep { er { memory-region = <&b>; }; };")
    tree = devicetree.parse(compiled(text.replace("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x1000 0x2000;")), "a.dtb")

    assert list(tree.users.values()) == [("/deep/er",)]
    assert tree.labels == {"/reserved-memory/b@80000000": "b"}
    assert (tree.memreserve, tree.has_symbols) == ((Range(0x1000, 0x2000),), True)


def test_missing(root: Root, tmp_path: Path) -> None:
    assert devicetree.read(root) is None
    with pytest.raises(FileNotFoundError):
        devicetree.load(str(tmp_path / "none.dtb"))


def test_a_directory_with_garbage(root: Root, tmp_path: Path) -> None:
    base = tmp_path / devicetree.DIRECTORY / "reserved-memory" / "a"
    base.mkdir(parents=True)
    (base / "reg").write_bytes(b"\x01\x02\x03")
    (tmp_path / devicetree.FLAT).write_bytes(b"garbage" * 10)
    os.symlink("/proc/self/root", base.parent / "loop")

    tree = devicetree.read(root)

    assert tree is not None
    assert tree.children[0].properties == {"reg": b"\x01\x02\x03"}
    assert tree.memreserve == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "doesn't begin as one"),
        (b"/dts-v1/;\n/ { };\n" * 5, "compiled first, by dtc"),
        (vendor()[:300], "cut off"),
        (vendor()[:30], "cut off"),
        (b"\xd0\x0d\xfe\xed", "cut off"),
        (vendor()[:8] + struct.pack(">I", 1 << 30) + vendor()[12:], "libfdt says"),
    ],
    ids=["empty", "source", "half", "header", "magic", "offset"],
)
def test_garbage(data: bytes, words: str) -> None:
    with pytest.raises(BadDeviceTree, match=words) as caught:
        devicetree.parse(data, "/tmp/a.dtb")

    assert str(caught.value).startswith("/tmp/a.dtb ")


def test_without_libfdt_the_package_is_named() -> None:
    """In a process of its own, where the import fails as it does without the package."""
    code = (
        "import sys; sys.modules['libfdt'] = None\n"
        "from memd.kernel import devicetree\n"
        "try: devicetree.parse(b'x', 'a')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.startswith("NotSupported ")
    assert "python3-libfdt" in done.stdout
