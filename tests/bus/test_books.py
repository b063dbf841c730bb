"""memd's real process, killed while buffers are out, and started again with what systemd kept: the ledger is whole."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bus.buses import Bus
from tests.bus.daemon import call, target
from tests.bus.raw import Raw, until
from tests.bus.systemd import Unit, listing

PAGE = os.sysconf("SC_PAGE_SIZE")
KILLS = 8


@pytest.fixture
def unit(daemon_bus: Bus, tmp_path: Path) -> Iterator[Unit]:
    one = Unit(daemon_bus.address, tmp_path)
    one.start()
    yield one
    one.close()


@pytest.fixture
def client(unit: Unit) -> Iterator[Raw]:
    with Raw.connect(unit.address) as one:
        yield one


def test_killed_and_started_again_it_knows_what_is_lent(unit: Unit, client: Raw) -> None:
    replies = [
        call(
            client,
            "Allocate",
            "sta{sv}",
            "simulated",
            size * PAGE,
            {"name": client.library.Variant("s", f"frame {size}")},
        )
        for size in (1, 2, 3)
    ]
    before = listing(client)
    assert [row["size"] for row in before] == [PAGE, 2 * PAGE, 3 * PAGE]

    unit.kill()
    unit.start()

    assert listing(client) == before
    assert "the books are whole again: 3 buffers (24K) of 1 owner still out" in unit.log.read_text()
    replies[0].close()
    assert listing(client) == before[1:]
    more = call(client, "Allocate", "sta{sv}", "simulated", PAGE, {})
    assert more.body[1] == 4
    for reply in [*replies, more]:
        reply.close()
    assert listing(client) == []


def test_killed_at_random_moments_it_charges_what_is_held_and_nothing_else(unit: Unit, client: Raw) -> None:
    """Requests are on their way at each kill. Whatever reply came through is in the books afterwards, and nothing more."""
    chance = random.Random(4)  # the same delays in each run
    held: dict[int, list[int]] = {}
    for _ in range(KILLS):
        asked = [client.start(*target("Allocate"), "sta{sv}", request(chance)) for _ in range(40)]
        killer = threading.Timer(chance.uniform(0, 0.08), unit.kill)
        killer.start()
        for _ in range(len(held) // 2):
            for fd in held.pop(chance.choice(list(held))):
                os.close(fd)
        for reply in client.replies(len(asked)):
            if reply.fds:
                held[reply.body[1]] = reply.fds
        killer.join()
        unit.start()
        assert {row["id"] for row in listing(client)} == held.keys()
    assert len(held) > KILLS
    for fd in [fd for fds in held.values() for fd in fds]:
        os.close(fd)
    assert until(lambda: listing(client) == [])


def request(chance: random.Random) -> list[object]:
    return ["simulated", chance.randrange(1, 9) * PAGE, {}]
