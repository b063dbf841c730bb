"""Pictures of a map: to scale, nothing left out, nothing on top of another, and well-formed whatever a device tree says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.kernel import devicetree
from memd.model_map import MIB, MapFinding, MemoryMap, Range, Region, RegionKind, Severity
from memd.policy import maphtml, mapplan, mapread, maprules, mapscale, mapscene, mapsvg, mapwrite
from memd.policy.mapask import Action, Ask
from memd.policy.mapscene import Picture, is_gap
from memd.policy.mapspace import joined
from tests import trees

GIB = 1 << 30
RAM = (Range(0x80000000, 2 * GIB),)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def page() -> MemoryMap:
    return replace(mapread.read(devicetree.parse(trees.vendor(), "vendor.dts")), ram=RAM, ram_known=True)


def region(name: str, base: int, size: int, kind: RegionKind = RegionKind.CARVE_OUT) -> Region:
    return Region(name, f"/reserved-memory/{name}", base, size, kind, has_reg=True)


maps = st.builds(
    lambda regions, ram, reserve: MemoryMap(
        "a.dtb", regions=tuple(regions), ram=tuple(ram) or None, memreserve=tuple(reserve)
    ),
    st.lists(
        st.builds(
            region,
            st.text(min_size=1, max_size=40),
            st.integers(0, 1 << 40),
            st.integers(0, 1 << 32),
            st.sampled_from(RegionKind),
        ),
        max_size=8,
        unique_by=lambda one: one.name,
    ),
    st.lists(st.builds(Range, st.integers(0, 1 << 40), st.integers(1, 1 << 36)), max_size=3),
    st.lists(st.builds(Range, st.integers(0, 1 << 40), st.integers(1, 1 << 30)), max_size=2),
)


@settings(max_examples=80, deadline=None)
@given(maps)
def test_the_line_rises_and_is_to_scale_where_it_is_not_broken(shape: MemoryMap) -> None:
    line = mapscale.axis([shape], mapscale.spots(shape))

    ends = [end for one in line.stretches for end in (one.start, one.stop)]
    assert ends == sorted(ends)
    assert not ends or (ends[0], round(ends[-1], 6)) == (0, 1)
    scales = [(one.stop - one.start) / one.range.size for one in line.stretches if not one.broken]
    assert not scales or max(scales) <= min(scales) * 1.000001
    assert not [one for one in line.stretches if one.broken and one.ram], "only holes are broken"


@settings(max_examples=80, deadline=None)
@given(maps)
def test_every_region_has_its_row_and_no_rows_touch(shape: MemoryMap) -> None:
    scene = mapscene.of_map(shape, maprules.check(shape)).scenes[0]

    named = [row for row in scene.rows if row.path]
    assert sorted(row.name for row in named) == sorted(one.name for one in shape.regions)
    for upper, lower in zip(scene.rows, scene.rows[1:], strict=False):
        assert upper.bottom < lower.top
        assert upper.where is None or lower.where is None or upper.where.base <= lower.where.base
    assert not scene.rows or scene.rows[-1].bottom <= scene.height + 0.001


@settings(max_examples=80, deadline=None)
@given(maps)
def test_gaps_and_regions_together_are_all_memory(shape: MemoryMap) -> None:
    spots = mapscale.spots(shape)
    line = mapscale.axis([shape], spots)

    free = [one.range for one in mapscale.gaps(line, spots, shape.memreserve)]
    held = [one.range for one in spots if one.range and one.range.size] + [one for one in shape.memreserve if one.size]
    assert not [one for one in free for other in held if one.overlaps(other)]
    whole = joined([*free, *held])
    assert len(whole) <= 1


@settings(max_examples=60, deadline=None)
@given(maps, st.text())
def test_it_is_xml_whatever_a_device_tree_says(shape: MemoryMap, board: str) -> None:
    picture = mapscene.of_map(replace(shape, board=board), maprules.check(shape))

    root = ET.fromstring(mapsvg.svg(picture))

    assert root.tag == f"{SVG}svg"
    assert maphtml.page(picture).startswith("<!DOCTYPE html>")


def test_a_hostile_name_stays_text() -> None:
    name = "</title><script>alert(1)</script>\x1b[31m\ud800"
    shape = MemoryMap("a.dtb", board=name, regions=(region(name, 0x80000000, MIB),), ram=RAM)

    text = maphtml.page(mapscene.of_map(shape, maprules.check(shape)))

    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    assert "\x1b" not in text
    text.encode()


def test_the_page_fetches_nothing(page: MemoryMap) -> None:
    text = maphtml.page(mapscene.of_map(page, maprules.check(page)))

    assert "default-src 'none'" in text
    for word in ("href=", "src=", "@import", "http://", "https://", "url(h"):
        assert word not in text.replace("http://www.w3.org/2000/svg", "").replace("default-src '", "").replace(
            "style-src '", ""
        )


def test_the_vendor_pages_map_has_all_that_a_reader_looks_for(page: MemoryMap) -> None:
    picture = mapscene.of_map(page, maprules.check(page))

    rows = [(row.name, row.size, row.kind) for row in picture.scenes[0].rows if not is_gap(row)]
    assert rows == [
        ("cdsp-secure-heap@81800000", "30M", "carveout"),
        ("camera@84300000", "5M", "carveout"),
        ("wpss@0x84800000", "25M", "carveout"),
        ("adsp@86100000", "40M", "carveout"),
        ("my_carveout_mem@d0800000", "1M", "carveout"),
        ("my_cma", "20M", "cma"),
        ("adsp-heap", "12M", "cma"),
    ]
    gaps = [(row.size, str(row.where)) for row in picture.scenes[0].rows if is_gap(row)]
    assert gaps[:3] == [
        ("24M", "0x80000000..0x817fffff"),
        ("13M", "0x83600000..0x842fffff"),
        ("1151M", "0x88900000..0xd07fffff"),
    ]


def test_where_the_kernel_chooses_is_said_to_be_a_guess(page: MemoryMap) -> None:
    """And it is the seed's own address."""
    heap = next(one for one in mapscale.spots(page) if one.region.name == "adsp-heap")

    assert heap == mapscale.Spot(heap.region, Range(0xFF000000, 12 * MIB), foretold=True)


def test_a_far_bank_breaks_the_hole_and_says_so() -> None:
    shape = MemoryMap("a.dtb", ram=(Range(0x80000000, GIB), Range(1 << 40, GIB)))

    rows = mapscene.of_map(shape, ()).scenes[0].rows

    assert [(row.kind, row.words[-1]) for row in rows] == [("free", ""), ("hole", "not to scale"), ("free", "")]
    assert rows[1].stop is not None
    assert rows[1].start is not None
    assert rows[1].stop - rows[1].start == pytest.approx(mapscale.BROKEN)


def test_findings_are_marked_where_they_are() -> None:
    shape = MemoryMap(
        "a.dtb", regions=(region("a@80000000", 0x80000000, 2 * MIB), region("b@80100000", 0x80100000, MIB)), ram=RAM
    )
    picture = mapscene.of_map(shape, maprules.check(shape))

    rows = {row.name: row for row in picture.scenes[0].rows}

    assert rows["a@80000000"].severity == rows["b@80100000"].severity == "error"
    assert rows["a@80000000"].findings[0] == "error: overlap with b@80100000"
    assert "▲ error: " in mapsvg.svg(picture)


def test_before_and_after_share_one_line(page: MemoryMap) -> None:
    tree = devicetree.parse(trees.vendor(), "vendor.dts")
    drawn = mapplan.plan(mapplan.Board(tree, page), Ask(Action.GROW, "camera", 6 * MIB, may_move=("wpss",)))

    picture = mapscene.of_change(drawn.before, drawn.after, drawn.changes, (), mapwrite.summary(drawn))

    before, after = picture.scenes
    assert before.line == after.line
    assert {row.badge for row in after.rows if row.badge} == {"+1M", "moved from 0x84800000"}
    assert not [row.badge for row in before.rows if row.badge]
    texts = [node.text for node in ET.fromstring(mapsvg.svg(picture)).iter(f"{SVG}text")]
    assert {"before", "after", "+1M", "moved from 0x84800000"} <= set(texts)


def test_ten_thousand_regions_are_drawn_in_bounds() -> None:
    shape = MemoryMap("a.dtb", regions=tuple(region(f"r@{n << 20:x}", n << 20, MIB >> 1) for n in range(10_000)))
    picture = mapscene.of_map(shape, [finding("r@0")])

    assert len(picture.scenes[0].rows) == mapscene.MOST_ROWS
    assert "more rows are not drawn" in mapsvg.svg(picture)


def finding(name: str) -> MapFinding:
    return MapFinding("overlap", Severity.ERROR, f"/reserved-memory/{name}", "a", "b", "c", (), (name,))


def test_nothing_at_all_is_a_picture_too() -> None:
    ET.fromstring(mapsvg.svg(mapscene.of_map(MemoryMap("a.dtb"), ())))
    ET.fromstring(mapsvg.svg(Picture("a", "b", ())))
