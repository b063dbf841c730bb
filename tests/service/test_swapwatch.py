"""Settings of swap over time, and words about other swap; the kernel's own /proc/swaps is watched in the machines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.early import SwapSettings
from memd.kernel.root import Root
from memd.model import Event
from memd.service import swaptune
from memd.service.swapwatch import SwapWatch

Put = Callable[[str, str | bytes], None]
HEAD = "Filename Type Size Used Priority\n"
ZRAM, DISK = "/dev/zram0 partition 8 0 100\n", "/dev/sda2 partition 8 0 200\n"
DEFAULTS = SwapSettings()


@pytest.fixture
def machine(put: Put, root: Root) -> Root:
    for key, value in {"swappiness": 60, "page-cluster": 3, "watermark_scale_factor": 10}.items():
        put(f"proc/sys/vm/{key}", f"{value}\n")
    put("proc/swaps", HEAD + ZRAM)
    return root


def values(root: Root) -> list[str]:
    return [
        (root.read(f"proc/sys/vm/{key}") or "").strip()
        for key in ("swappiness", "page-cluster", "watermark_scale_factor")
    ]


def test_set_and_put_back(machine: Root, put: Put, tmp_path: Path) -> None:
    told = swaptune.apply(machine, DEFAULTS)
    assert values(machine) == ["180", "0", "125"]
    assert told[0] == "vm.swappiness is 180 now, and was 60"
    assert json.loads((tmp_path / swaptune.KEPT).read_text())["vm/page-cluster"] == {
        "before": 3,
        "set": 0,
        "ours": True,
    }
    assert swaptune.apply(machine, DEFAULTS) == ()

    put("proc/swaps", HEAD)
    assert swaptune.apply(machine, DEFAULTS)[0] == "vm.swappiness is 60 again, as it was before zram"
    assert values(machine) == ["60", "3", "10"]
    assert swaptune.apply(machine, DEFAULTS) == ()


def test_a_machine_without_zram_is_not_touched(machine: Root, put: Put, tmp_path: Path) -> None:
    put("proc/swaps", HEAD + DISK)

    assert swaptune.apply(machine, DEFAULTS) == ()
    assert values(machine) == ["60", "3", "10"]
    assert not (tmp_path / swaptune.KEPT).exists()


class Older(Root):
    """A kernel before 5.8."""

    def write(self, name: str, text: str) -> None:
        if name.endswith("swappiness") and int(text) > 100:
            raise OSError(22, "Invalid argument", name)
        super().write(name, text)


def test_a_kernel_that_takes_no_more_than_100(machine: Root) -> None:
    older = Older(machine.directory)

    assert swaptune.apply(older, DEFAULTS)[0] == "vm.swappiness is 100 now, and was 60"
    assert swaptune.apply(older, DEFAULTS) == ()


class Refusing(Root):
    def write(self, name: str, text: str) -> None:
        if name.startswith("proc/sys/vm"):
            raise OSError(30, "Read-only file system", name)
        super().write(name, text)


def test_what_cant_be_set_is_told_and_not_remembered(machine: Root, tmp_path: Path) -> None:
    told = swaptune.apply(Refusing(machine.directory), DEFAULTS)

    assert told[0] == "vm.swappiness can't be set to 180 (Read-only file system)"
    assert json.loads((tmp_path / swaptune.KEPT).read_text()) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"vm/swappiness": 3}',
        '{"vm/swappiness": {"before": "x", "set": 1, "ours": true}}',
        '{"kernel/panic": {"before": 1, "set": 1, "ours": true}}',
    ],
)
def test_what_is_kept_and_makes_no_sense_is_nothing(machine: Root, put: Put, text: str) -> None:
    put(swaptune.KEPT, text)
    put("proc/swaps", HEAD)

    swaptune.apply(machine, DEFAULTS)

    assert values(machine) == ["60", "3", "10"]


def test_trouble_is_a_sentence(machine: Root, put: Put) -> None:
    put("proc/sys/vm/swappiness", "nonsense\n")

    assert "are left as they are" in swaptune.apply(machine, DEFAULTS)[0]


async def test_words_are_told_once_and_shown_while_true(machine: Root, put: Put) -> None:
    put("proc/swaps", HEAD + ZRAM + DISK)
    events: list[Event] = []
    zram: list[bool] = []
    watch = SwapWatch(machine, DEFAULTS, events.append, zram.append)
    await watch.start()
    await watch.configure(DEFAULTS)

    warnings = [event for event in events if event.priority == 4]
    assert len(warnings) == 1
    assert "/dev/sda2 has priority 200, zram 100" in warnings[0].message
    shown = [len(watch.words)]
    put("proc/swaps", HEAD)
    await watch.configure(DEFAULTS)
    assert [*shown, len(watch.words)] == [1, 0]
    assert zram == [True, True, False]
    await watch.stop()


async def test_a_swap_file_of_nonsense_costs_nothing(machine: Root, put: Put) -> None:
    put("sys/module/zswap/parameters/enabled", "perhaps\n")
    watch = SwapWatch(machine, DEFAULTS, lambda _event: None, lambda _zram: None)
    await watch.start()
    await watch.stop()


async def test_the_machines_own_swaps_is_watched_and_closed() -> None:
    class Looking(SwapWatch):
        async def _look(self) -> None:
            await asyncio.sleep(0)

    watch = Looking(Root(), DEFAULTS, lambda _event: None, lambda _zram: None)
    await watch.start()
    watch._heard()
    watch._heard()
    await watch.stop()
