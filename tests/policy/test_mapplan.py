"""The planner on maps: the vendor's page, what moves and what doesn't, and what is never broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.errors import InvalidArgs
from memd.kernel import devicetree
from memd.model_map import MIB, DeviceTree, MemoryMap, Node, Range, RegionKind, Severity
from memd.policy import mapargument, mapcma, mapplan, mapread, maprules
from memd.policy.mapask import Action, Ask, Drawn, NoRoom, What
from memd.policy.mapplan import Board
from tests import trees

RAM = (Range(0x80000000, 0x80000000),)


def board(tree: DeviceTree, **known: object) -> Board:
    return Board(tree, replace(mapread.read(tree), ram=RAM, ram_known=True, **known))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def page() -> DeviceTree:
    """The vendor page's board."""
    return devicetree.parse(trees.vendor(), "vendor.dts")


def without(tree: DeviceTree, *names: str) -> DeviceTree:
    labels = {path: label for path, label in tree.labels.items() if path.rpartition("/")[2] not in names}
    return replace(tree, children=tuple(one for one in tree.children if one.name not in names), labels=labels)


def names(drawn: Drawn) -> list[tuple[What, str]]:
    return [(change.what, change.name) for change in drawn.changes]


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("my_carveout_mem@d0800000", Ask(Action.ADD, "my_carveout_mem", MIB, at=0xD0800000)),
        ("my_cma", Ask(Action.ADD, "my_cma", 20 * MIB, RegionKind.CMA)),
        ("adsp-heap", Ask(Action.ADD, "adsp-heap", 12 * MIB, RegionKind.CMA)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_pages_own_examples_are_what_is_planned(page: DeviceTree, name: str, ask: Ask) -> None:
    drawn = mapplan.plan(board(without(page, name)), ask)

    assert names(drawn) == [(What.ADDED, name)]
    assert node(drawn.after_tree, name).properties == {
        key: value for key, value in node(page, name).properties.items() if key != "phandle"
    }
    assert drawn.after_tree.labels[f"/reserved-memory/{name}"] == page.labels[f"/reserved-memory/{name}"]


def node(tree: DeviceTree, name: str) -> Node:
    return next(child for child in tree.children if child.name == name)


def test_a_new_carve_out_goes_behind_the_last(page: DeviceTree) -> None:
    drawn = mapplan.plan(board(page), Ask(Action.ADD, "mine", 3 * MIB))

    assert drawn.changes[0].now == Range(0xD0900000, 3 * MIB)
    assert drawn.changes[0].name == "mine@d0900000"


def test_a_carve_out_never_moves_by_itself(page: DeviceTree) -> None:
    with pytest.raises(
        NoRoom, match=r"camera: it needs 6M at 0x84300000; .* 5M .* --may-move wpss@0x84800000 would make room"
    ):
        mapplan.plan(board(page), Ask(Action.GROW, "camera", 6 * MIB))


def test_a_grown_carve_out_moves_a_neighbour_that_was_named(page: DeviceTree) -> None:
    drawn = mapplan.plan(board(page), Ask(Action.GROW, "camera", 6 * MIB, may_move=("wpss",)))

    assert names(drawn) == [(What.GROWN, "camera@84300000"), (What.MOVED, "wpss@88900000")]
    assert [change.now for change in drawn.changes] == [Range(0x84300000, 6 * MIB), Range(0x88900000, 25 * MIB)]
    assert drawn.after_tree.labels["/reserved-memory/wpss@88900000"] == "wpss_mem"
    assert mapplan.accepted(drawn.changes) == {"/reserved-memory/wpss@0x84800000": "/reserved-memory/wpss@88900000"}


def test_regions_of_one_name_move_into_each_others_places() -> None:
    """memory@… is what many boards call them all; a node gets the name that its neighbour had."""
    text = "".join(
        f"memory@{base:x} {{ reg = <0 {base:#x} 0 0x400000>; no-map; }};"
        for base in range(0x80000000, 0x81000000, 4 * MIB)
    )
    tree = devicetree.parse(trees.compiled(trees.board(text)), "a.dtb")
    shape = replace(mapread.read(tree), ram=(Range(0x80000000, 20 * MIB),), ram_known=True)
    ask = Ask(Action.GROW, "memory@80000000", 8 * MIB, may_move=tuple(child.name for child in tree.children[1:]))

    drawn = mapplan.plan(Board(tree, shape), ask)

    assert [(region.name, region.base, region.size) for region in drawn.after.regions] == [
        ("memory@80000000", 0x80000000, 8 * MIB),
        ("memory@81000000", 0x81000000, 4 * MIB),
        ("memory@80800000", 0x80800000, 4 * MIB),
        ("memory@80c00000", 0x80C00000, 4 * MIB),
    ]
    shift = replace(ask, size=5 * MIB)
    after = mapplan.plan(
        Board(tree, replace(shape, ram=(Range(0x80000000, 19 * MIB), Range(0x90000000, MIB)))), shift
    ).after
    bases = sorted((region.base or 0, region.size) for region in after.regions)
    assert bases == [
        (0x80000000, 5 * MIB),
        (0x80500000, 4 * MIB),
        (0x80900000, 4 * MIB),
        (0x80D00000, 4 * MIB),
    ]


def test_growing_inside_free_memory_moves_nothing(page: DeviceTree) -> None:
    drawn = mapplan.plan(board(page), Ask(Action.GROW, "cdsp-secure-heap", 40 * MIB))

    assert names(drawn) == [(What.GROWN, "cdsp-secure-heap@81800000")]


def test_a_dynamic_region_only_gets_another_size(page: DeviceTree) -> None:
    drawn = mapplan.plan(board(page), Ask(Action.GROW, "my_cma", 30 * MIB))

    assert [(change.what, change.size, change.now) for change in drawn.changes] == [(What.GROWN, 32 * MIB, None)]
    assert "30M is rounded up to 32M, by the page block of 4M" in drawn.notes[0]


def test_a_reusable_region_at_an_address_moves_by_itself() -> None:
    text = """
        cam@84000000 { reg = <0 0x84000000 0 0x400000>; no-map; };
        pool: pool@84400000 { compatible = "shared-dma-pool"; reusable; reg = <0 0x84400000 0 0x800000>; };
    """
    tree = devicetree.parse(trees.compiled(trees.board(text)), "a.dtb")

    drawn = mapplan.plan(board(tree), Ask(Action.GROW, "cam", 6 * MIB))

    assert names(drawn) == [(What.GROWN, "cam@84000000"), (What.MOVED, "pool@84800000")]
    assert "its CMA area and its heap are called so too" in drawn.notes[0]


def test_a_grown_cma_region_moves_itself_rather_than_two_others() -> None:
    text = "".join(
        f'p{n}: p{n}@{base:x} {{ compatible = "shared-dma-pool"; reusable; reg = <0 {base:#x} 0 0x400000>; }};'
        for n, base in enumerate((0x84000000, 0x84400000, 0x84800000))
    )
    tree = devicetree.parse(trees.compiled(trees.board(text)), "a.dtb")

    assert names(mapplan.plan(board(tree), Ask(Action.GROW, "p0", 12 * MIB))) == [(What.MOVED, "p0@83800000")]


def test_moving_names_the_node_after_its_new_place(page: DeviceTree) -> None:
    drawn = mapplan.plan(board(page), Ask(Action.MOVE, "camera", at=0x90000000))

    assert [(c.what, c.old, c.path) for c in drawn.changes] == [
        (What.MOVED, "/reserved-memory/camera@84300000", "/reserved-memory/camera@90000000")
    ]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (Ask(Action.GROW, "nobody", MIB), "no region 'nobody' in vendor.dts; there are: cdsp-secure-heap@81800000, "),
        (Ask(Action.GROW, "camera", MIB), "it would not grow"),
        (Ask(Action.GROW, "camera"), "--size 64M"),
        (Ask(Action.ADD, "a b", MIB), "is no name for a node"),
        (Ask(Action.ADD, "camera", MIB), "has a region camera already"),
        (Ask(Action.ADD, "x", MIB, at=0x90080000), "not on a bound of 1M"),
        (Ask(Action.MOVE, "camera"), "say where camera@84300000 should go"),
        (Ask(Action.MOVE, "my_cma", at=0x90000000), "my_cma has no address to move from"),
        (Ask(Action.ADD, "x", MIB, may_move=("nobody",)), "no region 'nobody'"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.action.value,
)
def test_a_wish_that_makes_no_sense(page: DeviceTree, ask: Ask, words: str) -> None:
    with pytest.raises(InvalidArgs) as caught:
        mapplan.plan(board(page), ask)

    assert words in str(caught.value)


def test_no_room_is_said_with_the_largest_free_run(page: DeviceTree) -> None:
    with pytest.raises(
        NoRoom, match=r"needs 2000M on a bound of 1M inside 0x0..0xffffffff; the largest free run there is 1151M"
    ):
        mapplan.plan(board(page), Ask(Action.ADD, "huge", 2000 * MIB))


def test_what_is_in_use_is_avoided(page: DeviceTree) -> None:
    kernel = Range(0xD0900000, 64 * MIB)

    drawn = mapplan.plan(replace(board(page), avoid=(kernel,)), Ask(Action.ADD, "mine", MIB))

    assert drawn.changes[0].now == Range(0xD0700000, MIB)


def test_without_known_ram_an_address_is_needed(page: DeviceTree) -> None:
    blind = Board(page, replace(mapread.read(page), ram=None))

    with pytest.raises(InvalidArgs, match="--ram SIZE@START"):
        mapplan.plan(blind, Ask(Action.ADD, "mine", MIB))
    assert mapplan.plan(blind, Ask(Action.ADD, "mine", MIB, at=0xA0000000)).notes[0].startswith("RAM is not known")


def test_a_board_that_breaks_rules_can_be_planned_for() -> None:
    """A shipped overlap is not the plan's business."""
    text = "a@84000000 { reg = <0 0x84000000 0 0x400800>; no-map; }; b@84300000 { reg = <0 0x84300000 0 0x400000>; };"
    tree = devicetree.parse(trees.compiled(trees.board(text)), "a.dtb")

    assert names(mapplan.plan(board(tree), Ask(Action.ADD, "mine", MIB))) == [(What.ADDED, "mine@84700000")]


def test_a_cma_argument_overrides_the_node_that_is_the_default() -> None:
    text = 'def: linux,cma { compatible = "shared-dma-pool"; reusable; linux,cma-default; size = <0 0x2000000>; };'
    tree = devicetree.parse(trees.compiled(trees.board(text)), "a.dtb")
    start = board(tree, command_line="quiet cma=32M", cma=mapcma.parse("32M"))

    drawn = mapargument.plan(start, Ask(Action.CMA, argument="6M@0-4G"))

    assert drawn.after.regions == ()
    assert drawn.after.command_line == "quiet cma=6M@0-4G"
    assert [note for note in drawn.notes if "linux,cma, which is linux,cma-default" in note]
    assert [note for note in drawn.notes if "overrides cma=32M" in note]
    assert "6M is logged, and 8M taken, by the page block of 4M" in drawn.notes


@pytest.mark.parametrize(
    ("argument", "error", "words"),
    [
        ("3G", NoRoom, "no room for cma=3G"),
        ("64M@0x84000000", NoRoom, "no room for cma=64M@0x84000000"),
        ("64M@0x90100000", InvalidArgs, "not on a page block of 4M"),
        ("64MB", InvalidArgs, "write it like"),
    ],
)
def test_a_cma_argument_that_does_not_fit(page: DeviceTree, argument: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        mapargument.plan(board(page), Ask(Action.CMA, argument=argument))


# Whatever the map, whatever the wish


@st.composite
def situations(draw: st.DrawFn) -> tuple[Board, Ask]:
    """Some regions side by side with gaps, of all kinds, and a wish."""
    nodes = []
    base = 0x80000000
    for number in range(draw(st.integers(0, 5))):
        base += draw(st.sampled_from([0, 0, 4, 12])) * MIB
        size = draw(st.sampled_from([4, 8, 20])) * MIB
        reg = {"reg": base.to_bytes(8, "big") + size.to_bytes(8, "big")}
        kind = draw(st.sampled_from([{"no-map": b""}, {"compatible": b"shared-dma-pool\0", "reusable": b""}, {}]))
        name = f"r{number}@{base:x}"
        nodes.append(Node(name, f"/reserved-memory/{name}", {**reg, **kind}))
        base += size
    for number in range(draw(st.integers(0, 2))):
        wanted = {"size": (draw(st.sampled_from([4, 16, 32])) * MIB).to_bytes(8, "big")}
        name = f"d{number}"
        pool = {"compatible": b"shared-dma-pool\0", "reusable": b""}
        nodes.append(Node(name, f"/reserved-memory/{name}", {**pool, **wanted}))
    two = (2).to_bytes(4, "big")
    cells = {"#address-cells": two, "#size-cells": two}
    parent = Node("reserved-memory", "/reserved-memory", {**cells, "ranges": b""})
    tree = DeviceTree("a.dtb", Node("", "/", cells), reserved=parent, children=tuple(nodes))
    ram = (Range(0x80000000, draw(st.sampled_from([64, 128])) * MIB),)
    start = Board(tree, replace(mapread.read(tree), ram=ram, ram_known=True))
    return start, draw(wishes([one.name for one in nodes]))


def wishes(names: list[str]) -> st.SearchStrategy[Ask]:
    sizes = st.sampled_from([1, 4, 12, 24, 40]).map(lambda count: count * MIB)
    some = st.lists(st.sampled_from(names), max_size=3).map(tuple) if names else st.just(())
    kinds = st.sampled_from([RegionKind.CARVE_OUT, RegionKind.CMA])
    add = st.builds(Ask, st.just(Action.ADD), st.just("new"), sizes, kinds, may_move=some)
    if not names:
        return add
    grow = st.builds(Ask, st.just(Action.GROW), st.sampled_from(names), sizes, may_move=some)
    return add | grow


@settings(max_examples=150, deadline=None)
@given(situations())
def test_never_an_overlap_never_a_rule_broken_and_nothing_moves_that_must_not(case: tuple[Board, Ask]) -> None:
    start, ask = case
    try:
        drawn = mapplan.plan(start, ask)
    except (NoRoom, InvalidArgs):
        return
    errors = [one for one in maprules.check(start.shape) if one.severity is Severity.ERROR]
    found = maprules.check(drawn.after, start.shape, mapplan.accepted(drawn.changes))
    new = [one for one in found if one.severity is Severity.ERROR and one.rule not in {old.rule for old in errors}]
    assert new == []
    for change in drawn.moved:
        region = start.shape.region(change.old or "")
        assert region is not None
        assert region.kind is RegionKind.CMA or region.name in ask.may_move
    untouched = [r for r in start.shape.regions if r.path not in {change.old for change in drawn.changes}]
    assert all(region in drawn.after.regions for region in untouched)
    assert sizes_kept(start.shape, drawn)


def sizes_kept(before: MemoryMap, drawn: Drawn) -> bool:
    grown = {change.path for change in drawn.changes if change.size != change.old_size}
    sizes = {change.path: change.size for change in drawn.changes} | {r.path: r.size for r in before.regions}
    return all(one.size == sizes.get(one.path, one.size) for one in drawn.after.regions if one.path not in grown)
