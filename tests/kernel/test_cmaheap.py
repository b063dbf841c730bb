"""Which area is the default one, and which belongs to a driver: the map of the seed, and machines without one."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from memd.kernel import cmaheap
from memd.kernel.root import Root
from memd.model import CmaAreas

Put = Callable[[str, str | bytes], None]
TREE = "sys/firmware/devicetree/base"


@pytest.fixture
def node(put: Put) -> Callable[..., None]:
    def write(name: str, phandle: int = 0, **properties: bytes) -> None:
        place = f"{TREE}/reserved-memory/{name}"
        for key, value in {"compatible": b"shared-dma-pool\0", "reusable": b"", **properties}.items():
            put(f"{place}/{key.replace('_', '-').replace('linux-', 'linux,')}", value)
        if phandle:
            put(f"{place}/phandle", struct.pack(">I", phandle))

    return write


def test_good(root: Root, put: Put, node: Callable[..., None]) -> None:
    node("linux,cma", 1, linux_cma_default=b"")
    node("adsp-rpc-remote-heap", 2)
    node("my_cma", 3, status=b"okay\0")
    put(f"{TREE}/soc/fastrpc/memory-region", struct.pack(">2I", 9, 2))
    put(f"{TREE}/soc/display/memory-region", struct.pack(">I", 1))

    assert cmaheap.read(root) == CmaAreas(
        default="linux,cma",
        names=frozenset({"linux,cma", "adsp-rpc-remote-heap", "my_cma"}),
        owners={"adsp-rpc-remote-heap": "soc/fastrpc"},
    )


def test_a_machine_without_areas(root: Root) -> None:
    assert cmaheap.read(root) == CmaAreas()


def test_areas_without_a_tree(root: Root, put: Put) -> None:
    put("sys/kernel/mm/cma/reserved/total_pages", "16384\n")

    assert cmaheap.read(root) == CmaAreas(default="reserved", names=frozenset({"reserved"}))


def test_the_command_line_goes_before_the_tree(root: Root, put: Put, node: Callable[..., None]) -> None:
    node("linux,cma", 1, linux_cma_default=b"")
    put("proc/cmdline", "root=/dev/vda cma=64M quiet\n")

    assert cmaheap.read(root).default == "reserved"


def test_disabled_carve_out_and_foreign_nodes_are_no_areas(root: Root, node: Callable[..., None]) -> None:
    node("off", status=b"disabled\0", linux_cma_default=b"")
    node("firmware", compatible=b"vendor,firmware\0")

    assert cmaheap.read(root) == CmaAreas()


def test_garbage_a_tail_that_is_no_cell(root: Root, put: Put, node: Callable[..., None]) -> None:
    node("odd", 5)
    put(f"{TREE}/soc/one/memory-region", b"\0\0\0\5\7")
    put(f"{TREE}/soc/two/memory-region", b"\0")

    assert cmaheap.read(root).owners == {"odd": "soc/one"}
