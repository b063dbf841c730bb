"""The boot log, in every wording from 4.x to 7.x."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.kernel import bootlog
from memd.kernel.root import Root
from memd.model_map import Logged, Range
from tests.trees import MAPS

Put = Callable[[str, str | bytes], None]
ADSP = Range(0xFF000000, 0xC00000)


def test_the_vendors_page() -> None:
    """Its lines as they stand there: carve-outs, and the CMA region with its two lines."""
    log = bootlog.parse((MAPS / "vendor.log").read_text().splitlines())

    assert log.regions == (
        Logged("cdsp-secure-heap@81800000", Range(0x81800000, 30720 << 10), "nomap non-reusable"),
        Logged("camera@84300000", Range(0x84300000, 5120 << 10), "nomap non-reusable"),
        Logged("wpss@0x84800000", Range(0x84800000, 25600 << 10), "nomap non-reusable"),
        Logged("adsp@86100000", Range(0x86100000, 40960 << 10), "nomap non-reusable"),
        Logged("adsp-heap", ADSP, "map reusable", "shared-dma-pool"),
    )
    assert (log.warnings, log.tells_places, log.complete) == ((), True, False)


@pytest.mark.parametrize(
    "lines",
    [
        # 7.x and 6.3: the place of everything
        (
            "[    0.000000] OF: reserved mem: initialized node adsp-heap, compatible id shared-dma-pool\n"
            "[    0.000000] OF: reserved mem: 0x00000000ff000000..0x00000000ffbfffff (12288 KiB) map reusable adsp-heap"
        ),
        # 4.x to 6.2: the place first, without a name
        (
            "[    0.000000] Reserved memory: created CMA memory pool at 0x00000000ff000000, size 12 MiB\n"
            "[    0.000000] OF: reserved mem: initialized node adsp-heap, compatible id shared-dma-pool"
        ),
        # 4.x before the prefix
        (
            "[    0.000000] Reserved memory: created CMA memory pool at 0xff000000, size 12 MiB\n"
            "[    0.000000] Reserved memory: initialized node adsp-heap, compatible id shared-dma-pool"
        ),
        # /dev/kmsg
        (
            "6,1,0,-;Reserved memory: created CMA memory pool at 0x00000000ff000000, size 12 MiB\n"
            "6,2,0,-,caller=T0;OF: reserved mem: initialized node adsp-heap, compatible id shared-dma-pool"
        ),
        # journalctl -k
        (
            "Nov 25 08:00:00 board kernel: Reserved memory: created CMA memory pool at 0x00000000ff000000, size 12 MiB\n"
            "Nov 25 08:00:00 board kernel: OF: reserved mem: initialized node adsp-heap, compatible id shared-dma-pool"
        ),
        # CONFIG_PRINTK_CALLER
        (
            "[    0.000000][    T0] Reserved memory: created DMA memory pool at 0x00000000ff000000, size 12288 KiB\n"
            "[    0.000000][    T0] OF: reserved mem: initialized node adsp-heap, compatible id shared-dma-pool"
        ),
    ],
)
def test_where_a_pool_is(lines: str) -> None:
    (region,) = bootlog.parse(lines.splitlines()).regions

    assert (region.name, region.range, region.compatible) == ("adsp-heap", ADSP, "shared-dma-pool")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("OF: reserved mem: failed to allocate memory for node 'a': size 12 MiB", "a"),
        ("Reserved memory: failed to allocate memory for node 'a'", "a"),
        ("OF: fdt: Reserved memory: failed to reserve memory for node 'a@1': base 0x1, size 1 MiB", "a@1"),
        ("OF: reserved mem: Reserved memory: failed to reserve memory for node 'a@1': base 0x1, size 1 MiB", "a@1"),
        ("OF: reserved mem: node a compatible matching fail", "a"),
        ("OF: reserved mem: not enough space for all defined regions, skip 'a'", "a"),
        ("OF: reserved mem: too many defined dynamic regions, skip 'a'", "a"),
        ("OF: reserved mem: invalid alignment property in 'a' node.", "a"),
        ("Reserved memory: invalid reg property in 'a', skipping node.", "a"),
        ("cma: CMA area a could not be activated", "a"),
    ],
)
def test_a_region_that_failed(line: str, name: str) -> None:
    log = bootlog.parse([f"[    0.000000] {line}"])

    assert log.regions == (Logged(name, failed=line),)
    assert log.warnings == (line,)


@pytest.mark.parametrize(
    "line",
    [
        "OF: reserved mem: Reserved memory: unsupported node format, ignoring",
        "Reserved memory: unsupported node format, ignoring",
        "OF: reserved mem: not enough space for all defined regions.",
        "OF: reserved mem: not enough space all defined regions.",
        "Reserved memory: incorrect alignment of CMA region",
        "Reserved memory: node 'a' has 2 <base size> entries, only the first is used",
        "cma: Failed to reserve 64 MiB",
        "cma: Not enough slots for CMA reserved regions!",
        "Reserved memory: regions without no-map are not yet supported",
    ],
)
def test_a_warning(line: str) -> None:
    assert bootlog.parse([line]).warnings == (line,)


@pytest.mark.parametrize(
    "lines",
    [
        ["3,5,0,-;OF: reserved mem: OVERLAP DETECTED!\\x0aa (0x1000--0x3000) overlaps with b (0x2000--0x4000)"],
        ["[ 0.0] OF: reserved mem: OVERLAP DETECTED!", "[ 0.0] a (0x1000--0x3000) overlaps with b (0x2000--0x4000)"],
        ["OF: reserved mem: OVERLAP DETECTED!\na (0x1000--0x3000) overlaps with b (0x2000--0x4000)"],
    ],
)
def test_an_overlap_is_one_warning(lines: list[str]) -> None:
    assert bootlog.parse(lines).warnings == ("OVERLAP DETECTED! a (0x1000--0x3000) overlaps with b (0x2000--0x4000)",)


@pytest.mark.parametrize(
    "line",
    [
        "cma: Reserved 64 MiB at 0x00000000fc000000",
        "cma: Reserved 64 MiB at 0x00000000fc000000 on node -1",
        "cma: CMA: reserved 64 MiB at fc000000",
    ],
)
def test_the_default_area(line: str) -> None:
    assert bootlog.parse([line]).default_cma == Range(0xFC000000, 64 << 20)


@pytest.mark.parametrize(
    "line",
    [
        'Skipping dt linux,cma-default for "cma=" kernel param.',
        'Skipping dt linux,cma-default node in favor for "cma=" kernel param.',
        "Reserved memory: bypass linux,cma node, using cmdline CMA params instead",
    ],
)
def test_the_default_node_is_skipped_on_purpose(line: str) -> None:
    log = bootlog.parse([line, "OF: reserved mem: node linux,cma compatible matching fail"])

    assert (log.skipped_default, log.warnings) == (True, ())


def test_the_machines_own(root: Root, put: Put) -> None:
    put(
        "dev/kmsg",
        "5,0,0,-;Linux version 7.2.11+deb13-arm64 (debian-kernel)\n6,1,0,-;cma: Reserved 64 MiB at 0xfc000000\n",
    )

    log = bootlog.read(root)

    assert log is not None
    assert (log.kernel, log.complete, log.default_cma) == ("7.2.11+deb13-arm64", True, Range(0xFC000000, 64 << 20))


def test_missing(root: Root) -> None:
    """A directory has no journal: this machine's must not stand in for it."""
    assert bootlog.read(root) is None


def test_garbage_is_no_memory_map(root: Root, put: Put) -> None:
    put("dev/kmsg", bytes(range(256)) * 1000)

    log = bootlog.read(root)

    assert log is not None
    assert (log.regions, log.warnings, log.complete) == ((), (), False)


def test_names_may_be_odd() -> None:
    line = "OF: reserved mem: 0x0000000080000000..0x00000000800fffff (1024 KiB) nomap non-reusable a (b) c"

    assert bootlog.parse([line]).regions[0].name == "a (b) c"
    assert bootlog.parse(["OF: reserved mem: 0x9..0x1 (1 KiB) map reusable a"]).regions == ()
