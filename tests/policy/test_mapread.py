"""From a device tree to the map."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memd.kernel import devicetree
from memd.model_map import Range, RegionKind
from memd.policy import mapread
from tests import decoded
from tests.trees import board, compiled, vendor


def test_the_vendors_page() -> None:
    read = mapread.read(devicetree.parse(vendor(), "vendor.dtb"))

    assert (read.board, read.ram) == ("The vendor's page", (Range(0x80000000, 0x80000000),))
    assert [(one.name, one.label, one.kind, one.base, one.size) for one in read.regions] == [
        ("cdsp-secure-heap@81800000", "cdsp_secure_heap_mem", RegionKind.CARVE_OUT, 0x81800000, 0x1E00000),
        ("camera@84300000", "camera_mem", RegionKind.CARVE_OUT, 0x84300000, 0x500000),
        ("wpss@0x84800000", "wpss_mem", RegionKind.CARVE_OUT, 0x84800000, 0x1900000),
        ("adsp@86100000", "adsp_mem", RegionKind.CARVE_OUT, 0x86100000, 0x2800000),
        ("my_carveout_mem@d0800000", "my_carveout_mem", RegionKind.CARVE_OUT, 0xD0800000, 0x100000),
        ("adsp-heap", "adsp_heap_mem", RegionKind.CMA, None, 0xC00000),
        ("my_cma", "my_cma_mem", RegionKind.CMA, None, 0x1400000),
    ]
    assert all(one.alignment == 0x400000 and one.alloc_ranges == (Range(0, 0xFFFFFFFF),) for one in read.regions[5:])


ODD = board(
    """a@80000000 { reg = <0 0x80000000 0 0x100000>, <0 0x90000000 0 0x1000>; no-map; label = "a\\"b"; };
    b: b { size = <0 0x800000>; alignment = <0 0x400000>; alloc-ranges = <0 0 1 0>, <1 0 1 0>; reusable;
           compatible = "a,b", "shared-dma-pool"; };
    c@1 { reg = <0 1 0 2>; status = "disabled"; };
    d { }; e { size = <0 0>; alignment = <0x1000>; };
    """,
    "x { memory-region = <&b>; y { memory-region = <&b>, <&b>; }; };",
).replace("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x1000 0x2000;\n/memreserve/ 0x8000000000 1;")


@pytest.mark.parametrize("flat", [vendor(), compiled(ODD)], ids=["vendor", "odd"])
def test_it_agrees_with_dtc(flat: bytes) -> None:
    told = mapread.read(devicetree.parse(flat, "a.dtb"))

    assert decoded.differences(told, flat) == []


def test_the_second_reading_would_tell() -> None:
    told = mapread.read(devicetree.parse(vendor(), "a.dtb"))

    assert decoded.differences(replace(told, regions=told.regions[1:]), vendor())
    assert decoded.differences(replace(told, board="another"), vendor()) == ["model The vendor's page"]
