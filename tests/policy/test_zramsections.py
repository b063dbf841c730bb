"""Which device is whose: the label says it, and where it can't be read, their order."""

from __future__ import annotations

import pytest

from memd.early import MemInfo, Swap, ZramOutcome, ZramStat
from memd.policy import zramsections
from memd.policy.zramsections import Facts

M = 1 << 20


def facts(sections: tuple[str, ...], *labels: str | None, off: tuple[int, ...] = ()) -> Facts:
    """A zram swap for each label, but those of the numbers in `off`."""
    names = [f"zram{number}" for number in range(len(labels))]
    stats = tuple(
        ZramStat(name=name, disksize=M, initstate=True, algorithm="lz4", algorithms=("lz4",)) for name in names
    )
    swaps = tuple(
        Swap(path=f"/dev/{name}", kind="partition", size=M, used=0, priority=100)
        for number, name in enumerate(names)
        if number not in off
    )
    memory = MemInfo(total=1 << 30, available=1 << 30, free=1 << 30)
    return Facts(
        memory=memory,
        stats=stats,
        swaps=swaps,
        container=None,
        control=True,
        page=4096,
        sections=sections,
        labels=labels,
    )


@pytest.mark.parametrize(
    ("found", "devices"),
    [
        (facts(("", "slow"), "memd-slow", "memd"), {"": "zram1", "slow": "zram0"}),
        (facts(("", "slow"), None, None), {"": "zram0", "slow": "zram1"}),
        (facts(("", "slow"), None, "memd"), {"": "zram1", "slow": "zram0"}),
        (facts(("", "slow"), "zram0", "memd-slow"), {"": "zram0", "slow": "zram1"}),
        (facts(("", "slow"), ""), {"": "zram0"}),
        (facts(("", "slow"), "memd-slow", off=(0,)), {}),
        (facts(("", "slow"), "memd-gone"), {}),
        (facts(("", "slow")), {}),
        (facts(("",)), {}),
        # A live change that was cut short: the newer one is the section's
        (facts(("", "slow"), "memd", "memd"), {"": "zram1"}),
    ],
)
def test_devices_of(found: Facts, devices: dict[str, str]) -> None:
    assert zramsections.devices_of(found) == devices


def test_a_single_section_has_the_first_that_is_there() -> None:
    found = facts(("",), "x", "y")
    unread = Facts(**{**vars(found), "labels": ()})

    assert zramsections.devices_of(unread) == {"": "zram0"}


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (("off", "active"), "active"),
        (("adopted", "failed"), "failed"),
        (("off", "off"), "off"),
        (("off", "adopted"), "adopted"),
    ],
)
def test_together(states: tuple[str, ...], state: str) -> None:
    outcomes = tuple(ZramOutcome(state=each, reason=f"{each}.", notes=("same",)) for each in states)

    found = zramsections.together(outcomes)

    assert (found.state, found.reason, found.notes) == (state, f"{states[0]}.; {states[1]}.", ("same",))
