"""What a plan writes, through dtc, fdtoverlay and patch: the tree that comes out is the one that was planned."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.kernel import devicetree
from memd.model_map import MIB, DeviceTree, Node, Range, RegionKind
from memd.policy import mapdts, mapplan, mapread, maprules
from memd.policy.mapask import Action, Ask, Drawn
from memd.policy.mapresult import Result
from tests import trees

RAM = (Range(0x80000000, 0x80000000),)
USER = "cam: camera { memory-region = <&camera_mem &wpss_mem>; };\n"
SOURCE = trees.board(
    """camera_mem: camera@84300000 { reg = <0 0x84300000 0 0x500000>; no-map; };
       wpss_mem: wpss@84800000 { reg = <0 0x84800000 0 0x1900000>; no-map; label = "a \\"b\\""; qcom,ids = <1 15>; odd = [01 02 03]; };
       my_cma_mem: my_cma { compatible = "shared-dma-pool"; reusable; size = <0 0x1400000>; };""",
    USER,
)


def planned(flat: bytes, ask: Ask) -> Drawn:
    tree = devicetree.parse(flat, "board.dtb")
    return mapplan.plan(mapplan.Board(tree, replace(mapread.read(tree), ram=RAM, ram_known=True)), ask)


def overlaid(tmp_path: Path, flat: bytes, overlay: str) -> DeviceTree:
    """The board with the overlay, as a build system or a bootloader applies it."""
    base, dtbo, result = tmp_path / "base.dtb", tmp_path / "plan.dtbo", tmp_path / "result.dtb"
    base.write_bytes(flat)
    dtbo.write_bytes(trees.compiled(overlay))
    subprocess.run(["fdtoverlay", "-i", base, "-o", result, dtbo], check=True)
    return devicetree.load(str(result))


def patched(tmp_path: Path, drawn: Drawn, source: str = SOURCE) -> bytes:
    """The board's source with the moves, compiled."""
    moves = mapdts.moves(drawn)
    assert moves is not None
    (tmp_path / "board.dts").write_text(source)
    diff = mapdts.patch("board.dts", source, moves)
    subprocess.run(["patch", "-p1", "-s"], input=diff.encode(), cwd=tmp_path, check=True)
    return trees.compiled((tmp_path / "board.dts").read_text())


def regions(tree: DeviceTree) -> dict[str, dict[str, bytes]]:
    """Properties by path; phandles are dtc's own business."""
    return {
        child.path: {name: value for name, value in child.properties.items() if name != "phandle"}
        for child in tree.children
    }


@pytest.mark.parametrize(
    "ask",
    [
        Ask(Action.ADD, "mine", 3 * MIB),
        Ask(Action.ADD, "pool", 20 * MIB, RegionKind.CMA),
        Ask(Action.ADD, "there", 20 * MIB, RegionKind.CMA, at=0xA0000000),
        Ask(Action.GROW, "my_cma", 40 * MIB),
        Ask(Action.GROW, "wpss", 40 * MIB),
    ],
    ids=lambda ask: f"{ask.action.value}-{ask.name}",
)
def test_an_overlay_makes_the_planned_tree(tmp_path: Path, ask: Ask) -> None:
    flat = trees.compiled(SOURCE)
    drawn = planned(flat, ask)
    overlay = mapdts.overlay(drawn)

    assert overlay is not None
    assert mapdts.moves(drawn) is None
    result = overlaid(tmp_path, flat, overlay)
    assert regions(result) == regions(drawn.after_tree)
    assert [child.name for child in result.children] == [child.name for child in drawn.after_tree.children]
    assert result.labels.items() >= {(c.path, drawn.after_tree.labels[c.path]) for c in drawn.changes}


def test_a_patch_and_an_overlay_make_the_planned_tree(tmp_path: Path) -> None:
    drawn = planned(trees.compiled(SOURCE), Ask(Action.GROW, "camera", 6 * MIB, may_move=("wpss",)))
    overlay = mapdts.overlay(drawn)

    assert overlay is not None
    result = overlaid(tmp_path, patched(tmp_path, drawn), overlay)

    assert regions(result) == regions(drawn.after_tree)
    moved = next(child for child in result.children if child.name == "wpss@84900000")
    assert int.from_bytes(moved.properties["phandle"], "big") in result.users, (
        "its user finds it by the label that stayed"
    )


def test_a_node_gets_the_name_that_its_neighbour_had(tmp_path: Path) -> None:
    source = trees.board(
        """one: memory@84000000 { reg = <0 0x84000000 0 0x400000>; no-map; };
           two: memory@84400000 { reg = <0 0x84400000 0 0x400000>; no-map; };"""
    )
    tree = devicetree.parse(trees.compiled(source), "board.dtb")
    shape = mapread.read(tree)
    result = Result(tree, shape)
    result.move("/reserved-memory/memory@84000000", 0x84400000)
    result.move("/reserved-memory/memory@84400000", 0x84800000)
    result.finish()
    after = mapread.read(result.tree)
    drawn = Drawn(Ask(Action.MOVE), tree, result.tree, shape, after, tuple(result.changes))

    built = devicetree.parse(patched(tmp_path, drawn, source), "board.dtb")

    assert regions(built) == regions(result.tree)
    assert built.labels["/reserved-memory/memory@84400000"] == "one"
    assert built.labels["/reserved-memory/memory@84800000"] == "two"
    moved = mapplan.accepted(drawn.changes)
    assert [one.rule for one in maprules.check(after, shape, moved) if one.severity.value == "error"] == []


def test_a_source_without_a_last_line_end_is_patched_too(tmp_path: Path) -> None:
    drawn = planned(trees.compiled(SOURCE), Ask(Action.MOVE, "wpss", at=0xA0000000))

    assert regions(devicetree.parse(patched(tmp_path, drawn, SOURCE.rstrip()), "")) == regions(drawn.after_tree)


def test_a_board_without_reserved_memory_gets_the_node(tmp_path: Path) -> None:
    flat = trees.compiled(f"{trees.HEAD}}};")
    drawn = planned(flat, Ask(Action.ADD, "mine", MIB))
    overlay = mapdts.overlay(drawn)

    assert overlay is not None
    result = overlaid(tmp_path, flat, overlay)
    assert regions(result) == regions(drawn.after_tree)
    assert mapread.read(result).ignored is None


def test_a_node_without_a_label_keeps_its_number(tmp_path: Path) -> None:
    """Where the tree was compiled without -@, others refer to it by phandle alone."""
    source = SOURCE.replace("wpss_mem: ", "").replace("&wpss_mem", "&{/reserved-memory/wpss@84800000}")
    drawn = planned(trees.compiled(source), Ask(Action.MOVE, "wpss", at=0xA0000000))
    moves = mapdts.moves(drawn)

    assert moves is not None
    assert "phandle = <0x" in moves


names = st.text("abcdefghijklmnopqrstuvwxyz-,", min_size=1, max_size=12).filter(
    lambda name: name not in mapdts.NUMBERS | {"name"}
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=24), max_size=5))
def test_any_property_comes_back_from_dtc_as_it_was(properties: dict[str, bytes]) -> None:
    text = "\n".join(mapdts.source(Node("x", "/reserved-memory/x", properties), "a_label"))

    tree = devicetree.parse(trees.compiled(trees.board(text)), "")

    assert regions(tree) == {"/reserved-memory/x": properties}
