"""Every rule fires on a map that breaks it, and none on the vendor's page as a plan would write it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.kernel import devicetree
from memd.model_map import Difference, MemoryMap, Range, Region, RegionKind, Severity, Source
from memd.policy import mapread, maprules, mapspace
from memd.policy.mapcma import from_command_line
from memd.policy.maptable import BY_NAME, RULES
from tests.trees import HEAD, board, compiled, memory_map, preprocessed, vendor
from tests.trees import MAPS as MAP_FILES

CARVE_OUT = "a@80000000 { reg = <0 0x80000000 0 0x100000>; no-map; };\n"
CMA = 'compatible = "shared-dma-pool"; reusable;'
DYNAMIC = f"pool {{ {CMA} size = <0 0x800000>; %s }};\n"
EMPTY = memory_map(HEAD + "};")

# Each: source of a board -> what fires on it, taken as shipped.
BROKEN: dict[str, str] = {
    "overlap": board(CARVE_OUT + "b@80080000 { reg = <0 0x80080000 0 0x100000>; };"),
    "mib-bounds": board("a@80000000 { reg = <0 0x80000000 0 0x80000>; no-map; };"),
    "page-bounds": board("a@80000000 { reg = <0 0x80000000 0 0x100>; no-map; };"),
    "unit-address": board("a@81000000 { reg = <0 0x80000000 0 0x100000>; };"),
    "cma-alignment": board(f"a@80100000 {{ {CMA} reg = <0 0x80100000 0 0x400000>; }};"),
    "alignment-value": board(DYNAMIC % "alignment = <0 0x300000>;"),
    "alignment-small": board(DYNAMIC % "alignment = <0 0x1000>;"),
    "alignment-base": board("a@80100000 { reg = <0 0x80100000 0 0x100000>; alignment = <0 0x400000>; };"),
    "property-length": board(DYNAMIC.replace("<0 0x800000>", "<0x800000>") % ""),
    "property-ignored": board("a@80000000 { reg = <0 0x80000000 0 0x100000>; alignment = <0x1000>; };"),
    "node-odd": HEAD.replace("#address-cells = <2>;", "") + "};",
    "no-map-reusable": board(f"a@80000000 {{ {CMA} reg = <0 0x80000000 0 0x400000>; no-map; }};"),
    "reusable-without-pool": board("a@80000000 { reg = <0 0x80000000 0 0x400000>; reusable; };"),
    "restricted-pool-flags": board(
        'a@80000000 { compatible = "restricted-dma-pool"; reg = <0 0x80000000 0 0x400000>; no-map; };'
    ),
    "reg-and-size": board("a@80000000 { reg = <0 0x80000000 0 0x100000>; size = <0 0x200000>; };"),
    "several-reg": board("a@80000000 { reg = <0 0x80000000 0 0x100000>, <0 0x90000000 0 0x100000>; };"),
    "no-size": board("a { no-map; };"),
    "beyond-memory": board("a@fffffffffff00000 { reg = <0xffffffff 0xfff00000 0 0x200000>; };"),
    "alloc-ranges-small": board(DYNAMIC % "alloc-ranges = <0 0x80000000 0 0x400000>;"),
    "alloc-ranges-32bit": board(DYNAMIC % "alloc-ranges = <0 0x80000000 1 0>;"),
    "no-room": board(
        "a@80000000 { reg = <0 0x80000000 0 0x800000>; };" + DYNAMIC % "alloc-ranges = <0 0x80000000 0 0xc00000>;"
    ),
    "too-many-regions": board("".join(f"r{n} {{ size = <0 0x100000>; }};" for n in range(65))),
    "too-many-cma": board("".join(f"r{n} {{ {CMA} size = <0 0x400000>; }};" for n in range(8))),
    "cma-default-overridden": board(DYNAMIC % "linux,cma-default;", 'chosen { bootargs = "quiet cma=64M"; };'),
    "cma-default-twice": board(
        DYNAMIC % "linux,cma-default;" + (DYNAMIC % "linux,cma-default;").replace("pool {", "pond {")
    ),
    "cma-default-no-cma": board("a@80000000 { reg = <0 0x80000000 0 0x400000>; linux,cma-default; };"),
    "cma-argument": board("", 'chosen { bootargs = "cma=a-lot"; };'),
    "cma-argument-size": board("", 'chosen { bootargs = "cma=6M"; };'),
    "unknown-compatible": board('a@80000000 { compatible = "shared-dma-pol"; reg = <0 0x80000000 0 0x400000>; };'),
    "cma-unused": board(DYNAMIC % ""),
    "memreserve": HEAD.replace("/ {", "/memreserve/ 0x80000000 0x1000;\n/ {", 1)
    + f"reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; {CARVE_OUT} }}; }};",
    "node-ignored": board(CARVE_OUT).replace("ranges;", "", 1),
}
# Rules that need to know more than a tree.
TOLD: dict[str, Callable[[], MemoryMap]] = {
    "outside-ram": lambda: replace(memory_map(board(CARVE_OUT)), ram=(Range(0, 1 << 30),), ram_known=True),
    "cma-outside-ram": lambda: replace(
        memory_map(board(f"a@80000000 {{ {CMA} reg = <0 0x80000000 0 0x400000>; }};")),
        ram=(Range(0, 1 << 30),),
        ram_known=True,
    ),
    "kernel-warning": lambda: replace(EMPTY, warnings=("OVERLAP DETECTED!",)),
    "difference": lambda: replace(EMPTY, differences=(Difference("a", {Source.TREE: "1M", Source.LOG: "2M"}),)),
}
# Rules against a shipped map: what was, what is.
CHANGED: dict[str, tuple[str, str]] = {
    "carve-out-vanished": (board(CARVE_OUT), board("")),
    "carve-out-shrunk": (board(CARVE_OUT.replace("0x100000", "0x200000")), board(CARVE_OUT)),
    "carve-out-moved": (board(CARVE_OUT), board(CARVE_OUT.replace("80000000", "90000000"))),
    "reserved-vanished": (board(CARVE_OUT.replace("no-map;", "")), board("")),
}


def fired(one: MemoryMap, base: MemoryMap | None = None, accepted: tuple[str, ...] = ()) -> dict[str, Severity]:
    return {finding.rule: finding.severity for finding in maprules.check(one, base, accepted)}


def test_every_rule_has_its_map() -> None:
    assert {rule.name for rule in RULES} == BROKEN.keys() | TOLD.keys() | CHANGED.keys()


@pytest.mark.parametrize("rule", BROKEN)
def test_a_board_that_breaks_a_rule(rule: str) -> None:
    assert fired(memory_map(BROKEN[rule])).get(rule) == BY_NAME[rule].shipped


@pytest.mark.parametrize("rule", BROKEN)
def test_what_somebody_adds_is_held_to_the_strict_severity(rule: str) -> None:
    empty = memory_map(HEAD + "};")

    assert fired(memory_map(BROKEN[rule]), empty).get(rule) == BY_NAME[rule].severity


@pytest.mark.parametrize("rule", TOLD)
def test_a_machine_that_breaks_a_rule(rule: str) -> None:
    assert fired(TOLD[rule]()).get(rule) == BY_NAME[rule].shipped


@pytest.mark.parametrize("rule", CHANGED)
def test_a_change_that_breaks_a_rule(rule: str) -> None:
    before, after = (memory_map(text) for text in CHANGED[rule])

    assert fired(after, before) == {rule: BY_NAME[rule].severity}
    assert rule not in fired(before, before)


def test_a_board_in_order_has_no_findings() -> None:
    text = board(
        CARVE_OUT + f"p: pool {{ {CMA} size = <0 0x800000>; alloc-ranges = <0 0 1 0>; }};",
        "dev { memory-region = <&p>; };",
    )

    assert maprules.check(memory_map(text)) == []


def test_disabled_nodes_are_left_out() -> None:
    for status in ("disabled", "fail", "reserved"):
        text = BROKEN["overlap"].replace("b@80080000 {", f'b@80080000 {{ status = "{status}";')
        assert fired(memory_map(text)) == {}


def test_a_move_that_a_plan_lists_is_accepted_and_a_smaller_size_is_not() -> None:
    before = memory_map(board(CARVE_OUT))
    moved = memory_map(board(CARVE_OUT.replace("80000000", "90000000")))
    shrunk = memory_map(board(CARVE_OUT.replace("80000000", "90000000").replace("0x100000", "0x80000")))

    assert fired(moved, before, ("a@80000000",)) == {}
    assert fired(moved, before, ("/reserved-memory/a@90000000",)) == {}
    assert "carve-out-shrunk" in fired(shrunk, before, ("a@80000000",))


def test_a_carve_out_may_grow_in_place_downwards_too() -> None:
    before = memory_map(board(CARVE_OUT.replace("80000000", "80100000")))
    grown = memory_map(board("a@80000000 { reg = <0 0x80000000 0 0x300000>; no-map; };"))

    assert fired(grown, before) == {}


@pytest.mark.parametrize("change", [("no-map;", ""), ("no-map;", 'no-map; status = "disabled";')])
def test_a_carve_out_that_is_opened_has_vanished(change: tuple[str, str]) -> None:
    assert "carve-out-vanished" in fired(memory_map(board(CARVE_OUT.replace(*change))), memory_map(board(CARVE_OUT)))


def test_the_page_block_decides_what_is_aligned() -> None:
    text = board(f"a@80200000 {{ {CMA} reg = <0 0x80200000 0 0x200000>; }};")
    findings = {one.rule: one for one in maprules.check(memory_map(text))}

    assert "page block 4M, the vendor's" in findings["cma-alignment"].what
    assert "cma-alignment" not in fired(replace(memory_map(text), page_block=2 << 20))


@pytest.mark.parametrize(
    ("argument", "rules"),
    [
        ("64M", set()),
        ("0", set()),
        ("64M@0x90000000", set()),
        ("64M@0-4G", set()),
        ("64M@0x80000000", {"cma-argument"}),
        ("64M@0x90100000", {"cma-argument"}),
        ("64M@0-32M", {"cma-argument"}),
        ("64X", {"cma-argument"}),
        ("", {"cma-argument"}),
    ],
)
def test_cma_arguments(argument: str, rules: set[str]) -> None:
    text = board(CARVE_OUT)
    line = f"quiet cma={argument}"
    told = replace(memory_map(text), command_line=line, cma=from_command_line(line))

    assert fired(told).keys() == rules


# The vendor's page, note by note

PAGE = mapread.read(devicetree.parse(vendor(), "vendor.dtb"))


def test_the_page_has_one_note_about_its_own_unit_address() -> None:
    findings = maprules.check(PAGE)

    assert [(one.rule, one.severity, one.regions) for one in findings if one.rule != "cma-unused"] == [
        ("unit-address", Severity.NOTE, ("wpss@0x84800000",))
    ]
    assert "name it wpss@84800000" in next(one.remedy for one in findings if one.rule == "unit-address")


def _page(old: str, new: str) -> MemoryMap:
    text = preprocessed(MAP_FILES / "vendor.dts")
    assert old in text
    return mapread.read(devicetree.parse(compiled(text.replace(old, new)), "changed.dtb"))


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        # "No region may overlap. If a region must grow, move all that follow."
        ("0x84300000 0x0 0x500000", "0x84300000 0x0 0x600000", "overlap"),
        # "The kernel requires all region boundaries to be aligned to 1 MB."
        ("0xd0800000 0x0 0x100000", "0xd0800000 0x0 0x180000", "mib-bounds"),
        # "Existing carve-outs are guarded by trusted firmware. Making one smaller or removing it may crash the kernel."
        ("0x86100000 0x0 0x2800000", "0x86100000 0x0 0x2700000", "carve-out-shrunk"),
        ("adsp_mem: adsp@86100000 {", 'adsp_mem: adsp@86100000 { status = "disabled";', "carve-out-vanished"),
        # "Align a CMA region to 4 MB in base and size."
        ("size = <0x0 0xc00000>", "size = <0x0 0xb00000>", "cma-alignment"),
        # "alloc-ranges: some devices can't reach beyond 32 bits."
        ("0x0 0x00000000 0x0 0xffffffff", "0x0 0x00000000 0x1 0xffffffff", "alloc-ranges-32bit"),
        # "reusable" makes it CMA, "no-map" takes it from the kernel.
        ("reusable;", "reusable; no-map;", "no-map-reusable"),
        # "The base is appended to the name."
        ("my_carveout_mem@d0800000", "my_carveout_mem@d0900000", "unit-address"),
    ],
)
def test_each_note_of_the_page_is_a_rule(old: str, new: str, rule: str) -> None:
    findings = {(one.rule, one.severity) for one in maprules.check(_page(old, new), PAGE)}

    assert (rule, BY_NAME[rule].severity) in findings


# Properties

ranges = st.builds(Range, st.integers(0, 60), st.integers(1, 20))


def _region(index: int, span: Range) -> Region:
    return Region(f"r{index}", f"/reserved-memory/r{index}", span.base, span.size, RegionKind.CARVE_OUT, has_reg=True)


@given(st.lists(ranges, max_size=8))
def test_overlaps_are_those_that_every_pair_shows(spans: list[Range]) -> None:
    regions = [_region(at, span) for at, span in enumerate(spans)]
    pairs = {
        frozenset((one.name, other.name))
        for at, one in enumerate(regions)
        for other in regions[at + 1 :]
        if one.fixed and other.fixed and one.fixed.overlaps(other.fixed)
    }
    found = [one for one in maprules.check(MemoryMap("m", regions=tuple(regions))) if one.rule == "overlap"]

    assert {frozenset(one.regions) for one in found} == pairs
    assert len(found) == len(pairs)


@given(st.lists(ranges, max_size=6), st.lists(ranges, max_size=6))
def test_without_is_byte_by_byte(spans: list[Range], taken: list[Range]) -> None:
    left = list(mapspace.without(spans, taken))
    bytes_left = {at for one in left for at in range(one.base, one.end)}

    assert bytes_left == {at for one in spans for at in range(one.base, one.end)} - {
        at for one in taken for at in range(one.base, one.end)
    }
    assert left == sorted(left)


def test_rule_names_are_stable_words() -> None:
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name) for rule in RULES)
    assert all(text.endswith((".", "!")) for rule in RULES for text in (rule.what, rule.why, rule.remedy))
