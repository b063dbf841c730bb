"""The heaps of a machine in a directory: nodes that appear and vanish, words that callers say, and what is missing."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from memd.errors import NoSuchHeap
from memd.kernel.root import Root
from memd.model import CmaAreas, Heap, HeapKind
from memd.service.heaps import Heaps

Put = Callable[[str, str | bytes], None]
ANY = ("contiguous", "system")


class Machine:
    """Heaps that are watched, and how often a change was told."""

    def __init__(self, root: Root) -> None:
        self.heaps = Heaps(root, False, {}, ANY)
        self.changed = asyncio.Event()
        self.changes = 0
        self.heaps.start(self._change)

    def _change(self) -> None:
        self.changes += 1
        self.changed.set()

    async def names_after_change(self) -> list[str]:
        async with asyncio.timeout(10):
            await self.changed.wait()
        self.changed.clear()
        return names(self.heaps)


def names(heaps: Heaps) -> list[str]:
    return [heap.name for heap in heaps.heaps]


@pytest.fixture
async def machine(root: Root) -> AsyncIterator[Machine]:
    one = Machine(root)
    yield one
    one.heaps.stop()


def test_all_kinds(root: Root, put: Put) -> None:
    put("dev/dma_heap/system", "")
    put("dev/dma_heap/reserved", "")
    put("dev/udmabuf", "")

    heaps = Heaps(root, True, {"system": ("big",), "simulated": ("toy",)}, ANY)

    assert [(heap.name, heap.kind, heap.aliases) for heap in heaps.heaps] == [
        ("reserved", HeapKind.CMA, ("contiguous",)),
        ("system", HeapKind.SYSTEM, ("big",)),
        ("udmabuf", HeapKind.UDMABUF, ()),
        ("simulated", HeapKind.SIMULATED, ("toy",)),
    ]
    assert heaps.missing == ()
    assert [heap.path for heap in heaps.heaps] == [
        root.path("dev/dma_heap/reserved"),
        root.path("dev/dma_heap/system"),
        root.path("dev/udmabuf"),
        None,
    ]


def test_a_machine_without_heaps_says_so_in_one_line_each(root: Root) -> None:
    heaps = Heaps(root, False, {}, ANY)

    assert heaps.heaps == ()
    assert [line.split(":")[0].split(" (")[0] for line in heaps.missing] == ["no /dev/dma_heap", "no /dev/udmabuf"]


def test_a_machine_with_some_heaps_says_what_lacks(root: Root, put: Put) -> None:
    put("dev/dma_heap/system", "")

    assert [line.split(" (")[0] for line in Heaps(root, False, {}, ANY).missing] == ["no CMA heap", "no /dev/udmabuf"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("system", ["system"]),
        ("reserved", ["default_cma_region"]),
        ("contiguous", ["default_cma_region"]),
        ("any", ["default_cma_region", "system"]),
        ("camera", ["default_cma_region", "system"]),
        ("udmabuf", ["udmabuf"]),
    ],
)
def test_words(root: Root, put: Put, word: str, found: list[str]) -> None:
    for node in ("dma_heap/system", "dma_heap/reserved", "dma_heap/default_cma_region", "udmabuf"):
        put(f"dev/{node}", "")
    heaps = Heaps(root, False, {"system": ("camera", "udmabuf"), "reserved": ("camera",)}, ANY)

    assert [heap.name for heap in heaps.find(word)] == found


def test_a_drivers_region_is_reached_by_its_own_name_only(root: Root, put: Put) -> None:
    """Not by an alias, not by `any`, whoever wrote it there."""
    for name in ("system", "adsp"):
        put(f"dev/dma_heap/{name}", "")
    heaps = Heaps(root, False, {"adsp": ("dsp",), "system": ("dsp",)}, ("adsp", "dsp"))
    heaps._areas = CmaAreas(names=frozenset({"adsp"}), owners={"adsp": "soc/fastrpc"})
    heaps.look()

    assert [heap.device for heap in heaps.find("adsp")] == ["soc/fastrpc"]
    assert [heap.name for heap in heaps.find("dsp")] == ["system"]
    assert [heap.name for heap in heaps.find("any")] == ["system"]
    assert heaps.find("adsp")[0].aliases == ()


@pytest.mark.parametrize(
    "word", ["", "../x", "x" * 10_000, "a\nb\x1b[2J", "any", "contiguous", "simulated", "caf\u00e9"]
)
def test_unknown_words_are_told_without_harm(root: Root, put: Put, word: str) -> None:
    put("dev/dma_heap/my_heap", "")
    heaps = Heaps(root, False, {}, ("none",))

    with pytest.raises(NoSuchHeap) as caught:
        heaps.find(word)

    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()
    assert "my_heap" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_new_configuration_has_its_aliases_at_once(root: Root) -> None:
    heaps = Heaps(root, True, {}, ANY)

    heaps.configure({"simulated": ("camera",)}, ("simulated",))

    assert [heap.name for heap in heaps.find("camera")] == ["simulated"]
    assert [heap.name for heap in heaps.find("any")] == ["simulated"]


async def test_nodes_appear_and_vanish(machine: Machine, put: Put, tmp_path: Path) -> None:
    """From a machine that has not even a /dev, to heaps, and back."""
    put("dev/dma_heap/system", "")
    assert await machine.names_after_change() == ["system"]

    put("dev/dma_heap/reserved", "")
    assert await machine.names_after_change() == ["reserved", "system"]
    put("dev/udmabuf", "")
    assert await machine.names_after_change() == ["reserved", "system", "udmabuf"]

    (tmp_path / "dev/dma_heap/reserved").unlink()
    assert await machine.names_after_change() == ["system", "udmabuf"]
    shutil.rmtree(tmp_path / "dev/dma_heap")
    assert await machine.names_after_change() == ["udmabuf"]

    (tmp_path / "dev/dma_heap").mkdir()
    (tmp_path / "dev/dma_heap/back").touch()
    assert await machine.names_after_change() == ["back", "udmabuf"]


async def test_what_else_happens_in_dev_is_no_reason_to_look(
    machine: Machine, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("dev/dma_heap/system", "")
    await machine.names_after_change()
    looks = []
    monkeypatch.setattr(machine.heaps, "look", lambda: looks.append(1))

    for number in range(50):
        put(f"dev/tty{number}", "")
    await asyncio.sleep(0)
    machine.heaps._happened()

    assert looks == []
    assert machine.changes == 1


async def test_without_inotify_the_heaps_of_now_are_served(
    root: Root, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("dev/dma_heap/system", "")

    def none_left() -> None:
        raise OSError(24, "Too many open files", "inotify")

    monkeypatch.setattr("memd.service.heaps.Inotify", none_left)
    machine = Machine(root)

    assert names(machine.heaps) == ["system"]
    assert "heaps that appear later are not seen" in machine.heaps.missing[-1]
    machine.heaps.stop()


def test_heaps_that_cant_be_listed_stay_as_they_were(root: Root, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("dev/dma_heap/system", "")
    heaps = Heaps(root, False, {}, ANY)

    def refused(_path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", root.path("dev/dma_heap"))

    monkeypatch.setattr(os, "listdir", refused)
    heaps.look()

    assert names(heaps) == ["system"]
    assert "Permission denied" in heaps.missing[0]


async def test_a_stopped_registry_leaves_nothing_watching(root: Root, put: Put) -> None:
    machine = Machine(root)
    before = len(os.listdir("/proc/self/fd"))

    machine.heaps.stop()
    machine.heaps.stop()
    put("dev/dma_heap/system", "")
    await asyncio.sleep(0.01)

    assert machine.changes == 0
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_heap_whose_memory_can_be_pinned_is_told(root: Root, put: Put) -> None:
    for node in ("system", "reserved"):
        put(f"dev/dma_heap/{node}", "")
    tried = []

    def pinnable(heap: Heap) -> bool:
        tried.append(heap.name)
        return heap.name == "reserved"

    heaps = Heaps(root, False, {}, ANY, pinnable)
    heaps.look()

    assert [heap.name for heap in heaps.heaps if heap.pinnable] == ["reserved"]
    assert [line for line in heaps.missing if "heap reserved can pin its memory" in line]
    assert sorted(tried) == ["reserved", "system"]  # once each


def test_a_heap_that_gives_nothing_now_is_tried_again(root: Root, put: Put) -> None:
    put("dev/dma_heap/reserved", "")
    answers: Iterator[OSError | bool] = iter([OSError(errno.ENOMEM, "none"), True])

    def pinnable(heap: Heap) -> bool:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    heaps = Heaps(root, False, {}, ANY, pinnable)
    assert [heap.pinnable for heap in heaps.heaps] == [False]
    heaps.look()

    assert [heap.pinnable for heap in heaps.heaps] == [True]
