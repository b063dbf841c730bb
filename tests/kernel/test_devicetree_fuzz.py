"""Broken, random, huge and hostile trees: one clear error or a map, in bounded time and memory; never a crash."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.errors import BadDeviceTree
from memd.kernel import devicetree, overlay
from memd.model_map import MemoryMap
from memd.policy import mapread, maprules, mapwords
from tests.trees import HEAD, board, compiled, vendor

VENDOR = vendor()
OVERLAY = compiled('/dts-v1/;\n/plugin/;\n&adsp_mem { status = "disabled"; b = <&my_cma_mem>; };\n')
ODD = (0, 1, 2, 3, 4, 9, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("byte"), st.integers(0, 4000), st.integers(0, 255)),
        st.tuples(st.just("word"), st.integers(0, 4000), st.sampled_from(ODD)),
        st.tuples(st.just("cut"), st.integers(0, 4000), st.just(0)),
        st.tuples(st.just("twice"), st.integers(0, 4000), st.integers(1, 64)),
    ),
    min_size=1,
    max_size=8,
)


def broken(data: bytes, how: list[tuple[str, int, int]]) -> bytes:
    out = bytearray(data)
    for kind, where, value in how:
        at = where % max(len(out), 1)
        if kind == "byte":
            out[at : at + 1] = bytes([value])
        elif kind == "word":
            out[at & ~3 : (at & ~3) + 4] = struct.pack(">I", value)
        elif kind == "cut":
            del out[at:]
        else:
            out[at:at] = out[max(at - value, 0) : at]
    return bytes(out)


def one_line(error: BadDeviceTree) -> None:
    assert str(error).startswith((f"{error.path} is", f"{error.path} has", f"{error.path} can't"))
    assert "\n" not in str(error)


def all_of_it(data: bytes) -> MemoryMap | None:
    """Everything that is done with a tree; None where it is none, told in one line."""
    try:
        told = mapread.read(devicetree.parse(data, "a.dtb"))
    except BadDeviceTree as error:
        one_line(error)
        return None
    mapwords.whole(told, maprules.check(told, mapread.read(devicetree.parse(VENDOR, "b.dtb"))))
    return told


def test_cut_off_anywhere() -> None:
    assert all_of_it(VENDOR)
    assert [at for at in range(len(VENDOR)) if all_of_it(VENDOR[:at])] == []


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    assert all_of_it(data) is None
    assert all_of_it(VENDOR[:8] + data) is None


@settings(max_examples=300)
@given(changes)
def test_changed_trees(how: list[tuple[str, int, int]]) -> None:
    all_of_it(broken(VENDOR, how))


@settings(max_examples=200)
@given(changes)
def test_changed_overlays(how: list[tuple[str, int, int]]) -> None:
    try:
        made = overlay.apply(VENDOR, broken(OVERLAY, how), "a.dtb", "b.dtbo")
    except BadDeviceTree as error:
        one_line(error)
        return
    assert all_of_it(made)


def test_an_overlay_in_order_is_applied() -> None:
    told = all_of_it(overlay.apply(VENDOR, OVERLAY, "a.dtb", "b.dtbo"))

    assert told is not None
    assert [one.name for one in told.regions if not one.enabled] == ["adsp@86100000"]


@pytest.mark.parametrize("cells", [(0, 0), (0, 1), (3, 1), (1, 3), (16, 16), (0xFFFFFFFF, 2), (2, 0xFFFFFFFF)])
def test_wrong_cells(cells: tuple[int, int]) -> None:
    """Numbers that can't be read are no numbers, and each place says so."""
    text = board("a@80000000 { reg = <0 0x80000000 0 0x100000>; }; b { size = <0 0x100000>; };")
    for name, count in zip(("#address-cells", "#size-cells"), cells, strict=True):
        text = text.replace(f"{name} = <2>", f"{name} = <{count:#x}>")

    told = all_of_it(compiled(text, "-f"))

    assert told is not None
    assert {one.base for one in told.regions} == {None}
    assert told.problems
    assert "property-length" in {one.rule for one in maprules.check(told)}


def test_cells_that_differ_from_the_roots() -> None:
    text = board("a@80000000 { reg = <0x80000000 0x100000>; };").replace(
        "reserved-memory { #address-cells = <2>; #size-cells = <2>;",
        "reserved-memory { #address-cells = <1>; #size-cells = <1>;",
    )
    told = all_of_it(compiled(text))

    assert told is not None
    assert told.ignored == "/reserved-memory has #address-cells 1, the root has 2"


def test_deeper_than_any_board() -> None:
    deep = compiled(HEAD + "a { " * 100 + "};" * 100 + "};")

    with pytest.raises(BadDeviceTree, match="levels"):
        devicetree.parse(deep, "a.dtb")


def test_names_that_are_no_text() -> None:
    for old in (b"adsp@86100000", b"alloc-ranges"):
        assert old in VENDOR
        all_of_it(VENDOR.replace(old, b"\xff\xfe" + old[2:]))


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.dtb"
    with file.open("wb") as out:
        out.truncate(devicetree.MAX_FLAT + 1)

    with pytest.raises(BadDeviceTree, match="larger than 16M"):
        devicetree.load(str(file))


MANY = """
import sys
from memd.kernel import devicetree
from memd.policy import mapread, maprules, mapwords
told = mapread.read(devicetree.load(sys.argv[1]))
findings = maprules.check(told, told)
mapwords.whole(told, findings)
print(len(told.regions), len(findings) < 1000, sorted({one.rule for one in findings if one.severity.value == "error"}))
"""


def bounds() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def many(reg: bool, size: int) -> bytes:
    """10,000 regions 8K apart; dtc's parser can't, so libfdt writes them."""
    import libfdt

    tree = libfdt.FdtSw()
    tree.finish_reservemap()
    for name in ("", "reserved-memory"):
        tree.begin_node(name)
        tree.property_u32("#address-cells", 2)
        tree.property_u32("#size-cells", 2)
    tree.property("ranges", b"")
    for at in range(10_000):
        base = 0x10000000 + at * 0x2000
        tree.begin_node(f"r@{base:x}" if reg else f"r{at}")
        tree.property("reg" if reg else "size", struct.pack(">QQ", base, size) if reg else struct.pack(">Q", size))
        tree.property("no-map", b"")
        tree.end_node()
    for _ in range(2):
        tree.end_node()
    return bytes(tree.as_fdt().as_bytearray())


@pytest.mark.parametrize(
    ("reg", "size", "expected"),
    [
        (True, 0x1000, "10000 True []"),
        (True, 0x10000000, "10000 True ['overlap']"),
        (False, 0x100000, "10000 True []"),
    ],
    ids=["apart", "all-overlap", "dynamic"],
)
def test_ten_thousand_regions(reg: bool, size: int, expected: str, tmp_path: Path) -> None:
    """In a process with bounds on memory and processor time: quadratic work would not come to its end in them."""
    (tmp_path / "a.dtb").write_bytes(many(reg, size))

    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path / "a.dtb")], capture_output=True, text=True, preexec_fn=bounds
    )

    assert (done.stdout.strip(), done.stderr) == (expected, "")
