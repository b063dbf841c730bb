"""Pressure of single units: cgroups that come, go and come back, what is told of them, and what can't be watched."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator

import pytest

from memd.errors import Failed
from memd.model import Event, Level
from memd.names import MESSAGE_UNIT_PRESSURE
from memd.service.unitwatch import UnitWatch
from tests.service.watching import PSI, QUICK, SETTINGS, Kernel, Machine, Put, settle, timers

NONE, LOW, MEDIUM, CRITICAL = Level
UNIT = "camera.service"
GROUP = "/system.slice/camera.service"
FILE = f"sys/fs/cgroup{GROUP}/memory.pressure"


class World:
    """systemd's answers, and what was told."""

    def __init__(self) -> None:
        self.group: str | Exception = GROUP
        self.asked = 0
        self.told: list[tuple[str, Level, dict[str, object]]] = []
        self.events: list[Event] = []

    async def find(self, unit: str) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.group, Exception):
            raise self.group
        return self.group

    def changed(self, unit: str, level: Level, facts: dict[str, object]) -> None:
        self.told.append((unit, level, facts))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def units(machine: Machine, kernel: Kernel, world: World, put: Put) -> AsyncIterator[UnitWatch]:
    put(FILE, PSI)
    watch = UnitWatch(machine, world.events.append, world.changed, world.find)
    yield watch
    await watch.stop()
    assert timers() == 0


async def test_a_unit_has_a_level_of_its_own(units: UnitWatch, world: World, kernel: Kernel) -> None:
    await units.configure({UNIT: QUICK})
    assert kernel.files == [FILE] * 3
    assert timers() == 0
    kernel.speak(MEDIUM)
    while len(world.events) < 3:
        await asyncio.sleep(0.005)

    assert [(unit, level) for unit, level, _ in world.told] == [(UNIT, MEDIUM), (UNIT, LOW), (UNIT, NONE)]
    assert world.told[0][2]["some_avg10"] == 12.5
    assert world.events[0].message_id == MESSAGE_UNIT_PRESSURE
    assert world.events[0].message == (
        "memory pressure of camera.service is medium, was none: stalled some 12.5%, full 1.25% of the last 10 s"
    )
    assert world.events[0].fields["MEMD_UNIT"] == UNIT
    (status,) = units.status()
    assert (status["unit"], status["level"], status["cgroup"], status["watched"]) == (UNIT, "none", GROUP, True)


async def test_a_cgroup_that_is_removed_and_comes_back(units: UnitWatch, world: World, kernel: Kernel) -> None:
    await units.configure({UNIT: QUICK})
    kernel.speak(CRITICAL)
    await settle()
    world.group = ""
    kernel.give_up(CRITICAL)
    await settle()
    assert units.missing == ()
    assert units.status()[0]["watched"] is False
    assert [level for _, level, _ in world.told] == [CRITICAL, MEDIUM, LOW, NONE]

    world.group = GROUP
    units.look(UNIT)
    await settle()
    kernel.speak(LOW)
    await settle()
    assert world.told[4][1] is LOW


async def test_nothing_runs_nothing_waits(units: UnitWatch, world: World, kernel: Kernel) -> None:
    world.group = ""
    await units.configure({UNIT: SETTINGS})

    assert (kernel.opened, units.missing, timers()) == ([], (), 0)
    assert {**units.status()[0], "since": 0} == {"unit": UNIT, "level": "none", "watched": False, "since": 0}


async def test_many_words_of_change_are_few_questions(units: UnitWatch, world: World) -> None:
    await units.configure({UNIT: SETTINGS})
    asked = world.asked
    for _ in range(100):
        units.look(UNIT)
    units.look("other.service")
    await settle()
    assert world.asked <= asked + 2


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        (Failed("The name org.freedesktop.systemd1 was not provided"), "The name org.freedesktop.systemd1 was not"),
        (OSError(5, "odd"), "odd"),
    ],
)
async def test_who_does_not_tell_is_told_of(units: UnitWatch, world: World, trouble: Exception, line: str) -> None:
    world.group = trouble
    await units.configure({UNIT: SETTINGS})
    assert units.missing[0].startswith("pressure of camera.service can't be watched: ")
    assert line in units.missing[0]

    world.group = GROUP
    units.look(UNIT)
    await settle()
    assert units.missing == ()


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOENT, errno.EOPNOTSUPP])
async def test_a_file_that_cannot_be_opened(
    units: UnitWatch, world: World, kernel: Kernel, number: int, machine: Machine
) -> None:
    kernel.absent = number
    await units.configure({UNIT: SETTINGS})

    assert units.missing == (f"pressure of camera.service can't be watched: no: {machine.path(FILE)}",)


async def test_configured_anew(units: UnitWatch, world: World, kernel: Kernel) -> None:
    await units.configure({UNIT: SETTINGS})
    await units.configure({})
    assert units.status() == []
    assert timers() == 0
