"""What the nodes of real kernels are: their areas, the default one, aliases, and regions that belong to a driver."""

from __future__ import annotations

import pytest

from memd.model import CmaAreas, Heap, HeapKind
from memd.policy.heapnames import describe

DEV = "/dev/dma_heap"
BOARD = CmaAreas("reserved", frozenset({"reserved", "my_cma", "adsp-heap"}), {"adsp-heap": "soc/fastrpc"})


def cma(name: str, region: str, aliases: tuple[str, ...] = (), device: str | None = None) -> Heap:
    return Heap(name, HeapKind.CMA, f"{DEV}/{name}", aliases, region, device)


SYSTEM = Heap("system", HeapKind.SYSTEM, f"{DEV}/system")


@pytest.mark.parametrize(
    ("nodes", "areas", "heaps"),
    [
        ((), BOARD, ()),
        (("system",), CmaAreas(), (SYSTEM,)),
        (
            ("system", "reserved", "default_cma_region", "my_cma", "adsp-heap"),  # 7.2
            BOARD,
            (
                cma("adsp-heap", "adsp-heap", device="soc/fastrpc"),
                cma("default_cma_region", "reserved", ("reserved", "contiguous")),
                cma("my_cma", "my_cma"),
                SYSTEM,
            ),
        ),
        (("reserved", "system"), CmaAreas(), (cma("reserved", "reserved", ("contiguous",)), SYSTEM)),  # 6.1
        (
            ("linux,cma", "system"),  # Raspberry Pi
            CmaAreas("linux,cma", frozenset({"linux,cma"})),
            (cma("linux,cma", "linux,cma", ("contiguous",)), SYSTEM),
        ),
        (("linux,cma",), CmaAreas("reserved", frozenset({"linux,cma"})), (cma("linux,cma", "linux,cma"),)),  # cma= given
        (("default_cma_region",), CmaAreas(), (cma("default_cma_region", "reserved", ("contiguous",)),)),
        (
            ("system-uncached", "system_cc_shared", "carveout"),
            BOARD,
            tuple(Heap(name, HeapKind.SYSTEM, f"{DEV}/{name}") for name in ("carveout", "system-uncached", "system_cc_shared")),
        ),
    ],
)  # fmt: skip
def test_nodes(nodes: tuple[str, ...], areas: CmaAreas, heaps: tuple[Heap, ...]) -> None:
    assert describe(nodes, areas, {}, DEV) == heaps


def test_the_default_area_is_no_drivers_even_if_a_driver_names_it() -> None:
    areas = CmaAreas("linux,cma", frozenset({"linux,cma"}), {"linux,cma": "soc/display"})

    assert describe(("linux,cma",), areas, {}, DEV)[0].device is None


def test_aliases_of_the_configuration_by_name_or_by_alias() -> None:
    extra = {"reserved": ("camera", "video"), "default_cma_region": ("camera",), "system": ("big", "system")}

    default, system = describe(("default_cma_region", "reserved", "system"), CmaAreas(), extra, DEV)

    assert default.aliases == ("reserved", "contiguous", "camera", "video")
    assert system.aliases == ("big",)


def test_two_nodes_of_one_area_are_one_heap() -> None:
    heaps = describe(("reserved", "default_cma_region"), BOARD, {}, DEV)

    assert [heap.area for heap in heaps] == ["reserved"]
    assert heaps[0].words == {"default_cma_region", "reserved", "contiguous"}
