"""What a machine's sources say together, and what they say differently."""

from __future__ import annotations

from dataclasses import replace

from memd.kernel import bootlog, devicetree, iomem
from memd.model_map import BootLog, MapFacts, Range, RegionKind, Source
from memd.policy import mapread, maprules
from memd.policy.mapmerge import merge
from tests.trees import MAPS, board, compiled, vendor

TREE = devicetree.parse(vendor(), "vendor.dtb")
PAGE = bootlog.parse((MAPS / "vendor.log").read_text().splitlines())
BOOTED = "[    0.000000] Linux version 7.2.11\n"


def log(text: str) -> BootLog:
    return bootlog.parse((BOOTED + text).splitlines())


def test_the_vendors_page_booted() -> None:
    """Tree and log of the page agree, and the log says where adsp-heap is."""
    merged = merge(
        MapFacts(tree=TREE, log=PAGE, cma={"adsp-heap": 0xC00000, "my_cma": 0x1400000, "reserved": 64 << 20})
    )

    assert merged.differences == ()
    adsp = merged.region("adsp-heap")
    assert adsp is not None
    assert adsp.placed == Range(0xFF000000, 0xC00000)
    assert adsp.sources == (Source.TREE, Source.LOG, Source.CMA)
    reserved = merged.regions[-1]
    assert (reserved.name, reserved.path, reserved.size, reserved.kind) == ("reserved", "", 64 << 20, RegionKind.CMA)
    assert reserved.sources == (Source.CMA,)


def test_a_machine_that_tells_nothing() -> None:
    merged = merge(MapFacts())

    assert (merged.regions, merged.differences, merged.ram, merged.board) == ((), (), None, None)
    assert list(maprules.check(merged)) == []


def test_a_region_elsewhere_than_the_tree_says() -> None:
    moved = log(
        "OF: reserved mem: 0x0000000086200000..0x00000000889fffff (40960 KiB) nomap non-reusable adsp@86100000"
    )
    (first, *rest) = [one for one in merge(MapFacts(tree=TREE, log=moved)).differences if one.about == "adsp@86100000"]

    assert rest == []
    assert first.said == {Source.TREE: "0x86100000..0x888fffff", Source.LOG: "0x86200000..0x889fffff"}


def test_silence_means_something_only_in_a_whole_log_that_tells_places() -> None:
    old = log("OF: reserved mem: initialized node adsp-heap, compatible id shared-dma-pool")
    whole = replace(PAGE, complete=True)

    assert merge(MapFacts(tree=TREE, log=old)).differences == ()
    assert {one.about for one in merge(MapFacts(tree=TREE, log=whole)).differences} == {
        "my_carveout_mem@d0800000",
        "my_cma",
    }


def test_a_size_that_cma_has_otherwise_and_an_area_that_is_not_there() -> None:
    merged = merge(MapFacts(tree=TREE, cma={"adsp-heap": 0x800000}))

    assert [str(one) for one in merged.differences] == [
        "adsp-heap: device tree says 12288K, CMA says 8192K",
        "my_cma: device tree says 20480K of CMA, CMA says no such area",
    ]


def test_a_carve_out_that_linux_has() -> None:
    entries = iomem.parse("80000000-ffffffff : System RAM\n  81000000-81ffffff : Kernel code\n")
    merged = merge(MapFacts(tree=TREE, iomem=entries))

    assert "cdsp-secure-heap@81800000" in {one.about for one in merged.differences}
    assert "difference" in {one.rule for one in maprules.check(merged)}


def test_what_the_log_has_and_the_tree_has_not() -> None:
    extra = log(
        "OF: reserved mem: 0x0000000090000000..0x00000000900fffff (1024 KiB) nomap non-reusable extra@90000000"
    )

    assert "extra@90000000: device tree says nothing, boot log says 0x90000000..0x900fffff" in [
        str(one) for one in merge(MapFacts(tree=TREE, log=extra)).differences
    ]


def test_cma_of_the_command_line_takes_the_place_of_the_default_node() -> None:
    tree = devicetree.parse(
        compiled(
            board('linux,cma { compatible = "shared-dma-pool"; reusable; size = <0 0x2000000>; linux,cma-default; };')
        ),
        "a.dtb",
    )
    said = log(
        'Skipping dt linux,cma-default node in favor for "cma=" kernel param.\n'
        "OF: reserved mem: node linux,cma compatible matching fail\n"
        "cma: Reserved 64 MiB at 0x00000000fc000000\n"
    )
    merged = merge(
        MapFacts(
            tree=tree, log=said, cma={"reserved": 64 << 20}, command_line="quiet cma=64M", heaps=("reserved", "system")
        )
    )

    assert merged.differences == ()
    assert {one.rule for one in maprules.check(merged)} == {"cma-default-overridden"}
    reserved = merged.regions[-1]
    assert (reserved.placed, reserved.heap) == (Range(0xFC000000, 64 << 20), "reserved")
    assert reserved.sources == (Source.COMMAND_LINE, Source.LOG, Source.CMA)


def test_ram_is_known_on_a_machine() -> None:
    assert merge(MapFacts(tree=TREE)).ram == (Range(0x80000000, 0x80000000),)
    assert merge(MapFacts(tree=TREE, memory=(Range(0, 4096), Range(4096, 4096)))).ram == (Range(0, 8192),)
    assert not mapread.read(TREE).ram_known


def test_failures_of_the_kernel_are_findings() -> None:
    failed = log("OF: reserved mem: failed to allocate memory for node 'my_cma': size 20 MiB")
    findings = maprules.check(merge(MapFacts(tree=TREE, log=failed, cma={"adsp-heap": 0xC00000})))

    assert {one.rule for one in findings if one.severity.value == "error"} == {"kernel-warning"}
