"""The board's map at the start: read once, told to the journal, and waited for by who asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memd import names
from memd.kernel.root import Root
from memd.model import Event
from memd.policy import maprules
from memd.service import memorymap
from memd.service.memorymap import BoardMap
from tests.kernel.test_devicetree import unpack
from tests.trees import board, compiled, memory_map

OVERLAPPING = board(
    "a@80000000 { reg = <0 0x80000000 0 0x200000>; no-map; }; b@80100000 { reg = <0 0x80100000 0 0x100000>; };"
    'off@1000 { reg = <0 0x1000 0 0x1000>; status = "disabled"; };'
)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def broken(tmp_path: Path) -> Root:
    unpack(compiled(OVERLAPPING), tmp_path / "sys/firmware/devicetree/base")
    return Root(str(tmp_path))


async def test_a_map_is_told(broken: Root, told: list[Event]) -> None:
    map_ = BoardMap(broken, told.append)
    map_.start()

    assert await map_.facts() == {"board": "A board", "map": {"regions": 2, "errors": 1, "warnings": 0, "notes": 0}}
    assert [(one["name"], one["findings"]) for one in await map_.regions()] == [
        ("a@80000000", ["overlap"]),
        ("b@80100000", ["overlap"]),
    ]
    (event,) = told
    assert (event.message_id, event.priority, event.fields["MEMD_RULE"]) == (names.MESSAGE_MAP, 4, "overlap")
    assert event.fields["MEMD_PLACE"] == "/reserved-memory/b@80100000"
    await map_.stop()


async def test_a_machine_without_a_tree(root: Root, told: list[Event]) -> None:
    map_ = BoardMap(root, told.append)
    map_.start()

    assert await map_.facts() == {"map": {"regions": 0, "errors": 0, "warnings": 0, "notes": 0}}
    assert (await map_.regions(), told) == ([], [])
    await map_.stop()


async def test_who_asks_before_the_start_waits(broken: Root, told: list[Event]) -> None:
    map_ = BoardMap(broken, told.append)
    asking = asyncio.ensure_future(map_.facts())
    await asyncio.sleep(0)
    assert not asking.done()

    map_.start()
    assert (await asking)["board"] == "A board"
    await map_.stop()


async def test_after_a_failure_there_is_no_map(root: Root, told: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    map_ = BoardMap(root, told.append)
    monkeypatch.setattr(memorymap, "_look", lambda _: 1 // 0)
    map_.start()

    assert (await map_.facts(), await map_.regions(), told) == ({}, [], [])
    await map_.stop()


async def test_who_asks_and_goes_does_not_end_the_reading(broken: Root, told: list[Event]) -> None:
    map_ = BoardMap(broken, told.append)
    map_.start()
    asking = asyncio.ensure_future(map_.facts())
    await asyncio.sleep(0)
    asking.cancel()

    assert (await map_.facts())["board"] == "A board"
    await map_.stop()


async def test_stop_before_it_is_read(broken: Root, told: list[Event]) -> None:
    map_ = BoardMap(broken, told.append)
    map_.start()
    await map_.stop()


def test_the_journal_is_not_flooded() -> None:
    nodes = "".join(
        f"r{n}@{0x80000000 + n * 0x1000:x} {{ reg = <0 {0x80000000 + n * 0x1000:#x} 0 0x2000>; }};" for n in range(60)
    )
    entries = memorymap.events(maprules.check(memory_map(board(nodes))))

    assert len(entries) == memorymap.MOST_ENTRIES + 1
    assert entries[-1].message == "memory map: 39 findings more; memctl map check shows all"
