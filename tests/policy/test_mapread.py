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


@pytest.mark.parametrize(("address", "size"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_numbers_are_read_by_the_roots_cells(address: int, size: int) -> None:
    """Every other pair of counts too: an address may be longer than a size, and the other way round."""
    cells = {count: f"{'0 ' * (count - 1)}{{}}" for count in (1, 2)}
    base, length = cells[address].format("0x80000000"), cells[size].format("0x100000")
    text = board(
        f"a@80000000 {{ reg = <{base} {length}>; no-map; }};"
        f"b {{ size = <{length}>; alignment = <{cells[address].format('0x1000')}>; alloc-ranges = <{base} {length}>; }};"
    )
    text = text.replace("#address-cells = <2>", f"#address-cells = <{address}>")
    flat = compiled(text.replace("#size-cells = <2>", f"#size-cells = <{size}>"), "-f")
    told = mapread.read(devicetree.parse(flat, "a.dtb"))

    assert decoded.differences(told, flat) == []
    assert [(one.base, one.size) for one in told.regions] == [(0x80000000, 0x100000), (None, 0x100000)]
    assert told.regions[1].alloc_ranges == (Range(0x80000000, 0x100000),)


def test_without_cells_the_kernels_default_is_taken() -> None:
    """1 and 1 (drivers/of/fdt.c), where the specification says 2 and 1: and it is said."""
    text = board("a@80000000 { reg = <0x80000000 0x100000>; };").replace(
        "#address-cells = <2>; #size-cells = <2>;", "", 1
    )
    told = mapread.read(devicetree.parse(compiled(text, "-f"), "a.dtb"))

    assert [(one.base, one.size) for one in told.regions] == [(0x80000000, 0x100000)]
    assert len(told.problems) == 2
    assert told.ignored == "/reserved-memory has #address-cells 2, the root has 1"
