"""The vendor's page, section by section: what it shows is read, what it says is a rule, and what it tabulates is a field.

Its notes as rules are in test_maprules.py, its boot log in tests/kernel/test_bootlog.py, a machine with its map in
tests/vm/inside/test_memd_map.py, and how its examples are planned is a matter of the planner's tests.
"""

from __future__ import annotations

import pytest

from memd.kernel import bootlog, devicetree
from memd.model import CmaAreas, HeapKind
from memd.model_map import MapFacts, MemoryMap, Range, RegionKind, Severity
from memd.policy import heapnames, mapread, maprules
from memd.policy.mapcma import parse
from memd.policy.mapmerge import merge
from tests.trees import MAPS, compiled, preprocessed, vendor

PAGE = mapread.read(devicetree.parse(vendor(), "vendor.dtb"))
BOOTED = merge(
    MapFacts(
        tree=devicetree.parse(vendor(), "vendor.dtb"),
        log=bootlog.parse((MAPS / "vendor.log").read_text().splitlines()),
        page_block=4 << 20,
    )
)


def region(name: str, told: MemoryMap = PAGE) -> tuple[object, ...]:
    one = told.region(name)
    assert one is not None
    return (one.kind, one.label, one.where, one.size, one.no_map, one.reusable)


def test_memory_map_the_four_carve_outs() -> None:
    """Section "memory map": no-map takes a region from the kernel."""
    for name, label, base, size in (
        ("cdsp-secure-heap@81800000", "cdsp_secure_heap_mem", 0x81800000, 30720),
        ("camera@84300000", "camera_mem", 0x84300000, 5120),
        ("wpss@0x84800000", "wpss_mem", 0x84800000, 25600),
        ("adsp@86100000", "adsp_mem", 0x86100000, 40960),
    ):
        wanted = Range(base, size << 10)
        assert region(name) == (RegionKind.CARVE_OUT, label, wanted, size << 10, True, False)
        assert region(name, BOOTED) == region(name)
        assert name in {one.name for one in BOOTED.regions if "boot log" in one.sources}


@pytest.mark.parametrize("text", ["64M", "64M@0x90000000", "1G@2G-4G"])
def test_contiguous_memory_allocator_the_syntax_of_cma(text: str) -> None:
    """`cma=nn[MG]@[start[MG][-end[MG]]]`; 0 turns it off."""
    assert parse(text).size
    assert parse("0").size == 0


def test_contiguous_memory_allocator_adsp_heap() -> None:
    assert region("adsp-heap") == (RegionKind.CMA, "adsp_heap_mem", None, 12288 << 10, False, True)
    assert region("adsp-heap", BOOTED)[2] == Range(0xFF000000, 12288 << 10)


def test_adding_a_custom_cma_heap_is_named_after_its_region() -> None:
    """The heap of a region has the region's name; table "supported heaps": system, reserved, custom."""
    heaps = heapnames.describe(
        ["system", "reserved", "my_cma"], CmaAreas("reserved", frozenset({"reserved", "my_cma"})), {}, "/dev/dma_heap"
    )

    assert [(one.name, one.kind, one.region) for one in heaps] == [
        ("my_cma", HeapKind.CMA, "my_cma"),
        ("reserved", HeapKind.CMA, "reserved"),
        ("system", HeapKind.SYSTEM, None),
    ]


def test_adding_a_custom_cma_heap_needs_4m() -> None:
    """Note: align base and size to 4 MiB; the page block order is 10."""
    assert all(one.size and one.size % (4 << 20) == 0 for one in PAGE.regions if one.kind is RegionKind.CMA)
    text = preprocessed(MAPS / "vendor.dts").replace("size = <0x0 0x1400000>", "size = <0x0 0x1300000>")
    changed = mapread.read(devicetree.parse(compiled(text), "a.dtb"))
    (found,) = [one for one in maprules.check(changed, PAGE) if one.rule == "cma-alignment"]

    assert (found.severity, found.regions, found.remedy) == (Severity.ERROR, ("my_cma",), "make it 20M")


def test_extending_the_map_my_carveout() -> None:
    """Table: the node's name has the base, the label is for phandles, reg is base and size, no-map makes it a carve-out."""
    one = PAGE.region("my_carveout_mem")
    assert one is not None

    assert (one.name, one.unit, one.label) == ("my_carveout_mem@d0800000", 0xD0800000, "my_carveout_mem")
    assert (one.fixed, one.no_map, one.kind) == (Range(0xD0800000, 0x100000), True, RegionKind.CARVE_OUT)


def test_extending_the_map_my_cma() -> None:
    """Table: label, shared-dma-pool, alloc-ranges, reusable, alignment, size; without reg the kernel chooses the place."""
    one = PAGE.region("my_cma")
    assert one is not None

    assert (one.label, one.compatible, one.reusable) == ("my_cma_mem", ("shared-dma-pool",), True)
    assert (one.alloc_ranges, one.alignment, one.size) == ((Range(0, 0xFFFFFFFF),), 4 << 20, 20 << 20)
    assert (one.dynamic, one.base) == (True, None)


def test_the_page_as_a_whole_is_in_order() -> None:
    assert [one for one in maprules.check(BOOTED) if one.severity is Severity.ERROR] == []
