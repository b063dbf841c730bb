"""memd killed, restarted and stopped by the real systemd while buffers of real heaps are out: the ledger is whole afterwards."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from dmabuf import MiB
from people import journal, memctl, output

from memd.client import Buffer, Memd

pytestmark = pytest.mark.needs("heap:system")
BOOKS = "fd437e82da824b8087b522279dc787f9"
PING = ("busctl", "--system", "--timeout=25", "call", "org.memd1", "/org/memd1", "org.freedesktop.DBus.Peer", "Ping")


@pytest.fixture
def held() -> Iterator[list[Buffer]]:
    """Buffers that are closed at the end, and then known to be."""
    buffers: list[Buffer] = []
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [buffer.close() for buffer in buffers])
        yield buffers
    assert memctl("buffers") == []


def lend(held: list[Buffer], heap: str, *sizes: int) -> None:
    with Memd() as memd:
        held.extend(memd.allocate(heap, size, name=f"{heap} {size}") for size in sizes)


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = memctl("buffers")
    return found


def lent() -> dict[str, tuple[int, int]]:
    return {heap["name"]: (heap["lent_bytes"], heap["lent_buffers"]) for heap in memctl("status")["heaps"]}


def restart() -> None:
    output("systemctl", "restart", "memd")


def kill() -> None:
    output("systemctl", "kill", "-s", "KILL", "memd")
    output(*PING)  # activation waits for the restart that is due


def stop() -> None:
    output("systemctl", "stop", "memd")
    output("systemctl", "start", "memd")


@pytest.mark.parametrize("end", [kill, restart, pytest.param(stop, marks=pytest.mark.needs("systemd-254"))])
def test_the_ledger_is_whole_afterwards(held: list[Buffer], end: Any) -> None:
    lend(held, "system", MiB, 2 * MiB, 3 * MiB)
    held.pop(1).close()
    before, charged = rows(), lent()
    assert charged["system"] == (4 * MiB, 2)

    end()

    assert rows() == before
    assert lent() == charged
    said = journal(f"MESSAGE_ID={BOOKS}")[-1]
    assert (said["MEMD_BUFFERS"], said["MEMD_SIZE"], said["MEMD_UNKNOWN"]) == ("2", str(4 * MiB), "0")
    held.pop().close()
    assert lent()["system"] == (MiB, 1)


@pytest.mark.needs("heap:reserved")
@pytest.mark.timeout(180)
def test_kills_at_random_moments(held: list[Buffer]) -> None:
    """Several lives: what is held is charged, in each of them, whichever lent it."""
    chance = random.Random(11)  # the same in each run
    for _ in range(4):
        lend(held, "system", *[chance.randrange(1, 9) * 4096 for _ in range(chance.randrange(1, 20))])
        lend(held, "contiguous", MiB)
        for _ in range(len(held) // 3):
            held.pop(chance.randrange(len(held))).close()
        kill()
        assert {row["id"]: row["size"] for row in rows()} == {buffer.id: buffer.size for buffer in held}


def test_what_is_kept_is_bounded(held: list[Buffer]) -> None:
    """The books and a set for each owner, however many buffers and lives."""
    lend(held, "system", *[4096] * 50)
    kill()
    lend(held, "system", *[4096] * 50)
    assert int(output("systemctl", "show", "-P", "NFileDescriptorStore", "memd")) <= 2
