"""memd.kernel.load and memd.kernel.clocks: good, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import clocks, load
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


def battery(put: Put, name: str, capacity: str, status: str = "Discharging", **more: str) -> None:
    for key, text in {"type": "Battery", "status": status, "capacity": capacity, **more}.items():
        put(f"sys/class/power_supply/{name}/{key}", f"{text}\n")


def test_good(root: Root, put: Put) -> None:
    put("proc/loadavg", "3.00 2.50 1.20 2/345 6789\n")

    assert load.per_cpu(root, 4) == 0.75


def test_the_emptiest_battery_that_is_used(root: Root, put: Put) -> None:
    battery(put, "BAT0", "80")
    battery(put, "BAT1", "30")
    battery(put, "mouse", "5", scope="Device")
    battery(put, "spare", "1", status="Charging")
    put("sys/class/power_supply/AC/type", "Mains\n")

    assert load.battery(root) == 0.3


def test_missing(root: Root) -> None:
    assert load.per_cpu(root) is None
    assert load.battery(root) is None
    assert clocks.boot_id(root) == ""


@pytest.mark.parametrize("text", ["", "1.0\n", "x 1 1 1/1 1\n", "-1.0 1 1 1/1 1\n", "1.0.0 1 1 1/1 1\n"])
def test_garbage(root: Root, put: Put, text: str) -> None:
    put("proc/loadavg", text)

    with pytest.raises(BadKernelFile):
        load.per_cpu(root)


def test_a_battery_that_makes_no_sense(root: Root, put: Put) -> None:
    battery(put, "BAT0", "full")

    with pytest.raises(BadKernelFile):
        load.battery(root)


def test_this_machine() -> None:
    first = clocks.awake(), clocks.since_boot()

    assert first <= (clocks.awake(), clocks.since_boot())
    assert len(clocks.boot_id(Root())) == 36
    assert (load.per_cpu(Root()) or 0) >= 0
