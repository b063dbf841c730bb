"""What to do about zram, case by case; the order of the questions is part of it."""

from __future__ import annotations

import pytest

from memd.early import MemInfo, Swap, ZramSettings, ZramStat
from memd.policy import zramplan, zramsections

M, G = 1 << 20, 1 << 30


def stat(name: str = "zram0", size: int = 0, algorithm: str = "lzo-rle") -> ZramStat:
    return ZramStat(
        name=name, disksize=size, initstate=size > 0, algorithm=algorithm, algorithms=("lzo-rle", "lzo", "lz4", "zstd")
    )


def swap(path: str = "/dev/zram0", kind: str = "partition", priority: int = 100) -> Swap:
    return Swap(path=path, kind=kind, size=4 * G - 4096, used=0, priority=priority)


def facts(
    *stats: ZramStat,
    swaps: tuple[Swap, ...] | None = (),
    container: str | None = None,
    control: bool = True,
    total: int = 4 * G,
    cma: int | None = None,
) -> zramsections.Facts:
    memory = MemInfo(total=total, available=total // 2, free=total // 2, cma_total=cma)
    return zramsections.Facts(memory=memory, stats=stats, swaps=swaps, container=container, control=control, page=4096)


def off(settings: ZramSettings, what: zramsections.Facts) -> str:
    plan = zramplan.decide(settings, what)
    assert plan.action == "done"
    assert plan.outcome
    assert plan.outcome.state == "off"
    return plan.outcome.reason


def test_a_free_device_is_used() -> None:
    plan = zramplan.decide(ZramSettings(), facts(stat(size=M), stat("zram1"), stat("zram2")))

    assert (plan.action, plan.device, plan.disksize, plan.notes) == ("use", "zram1", 3 * G, ())


def test_without_a_free_one_a_device_is_added() -> None:
    for stats in ((), (stat(size=M),)):
        assert zramplan.decide(ZramSettings(), facts(*stats)).action == "add"


def test_without_zram_its_module_is_loaded() -> None:
    assert zramplan.decide(ZramSettings(), facts(control=False)).action == "load"


def test_a_device_of_a_kernel_without_zram_control_is_used() -> None:
    assert zramplan.decide(ZramSettings(), facts(stat(), control=False)).action == "use"


def test_ram_is_what_cma_leaves() -> None:
    assert zramplan.decide(ZramSettings(), facts(stat(), total=3 * G, cma=G)).disksize == 2 * G
    assert zramplan.decide(ZramSettings(size="50%"), facts(stat(), total=3 * G, cma=G)).disksize == G


@pytest.mark.parametrize("path", ["/dev/zram0", "/zram0", "/proc/1/root/dev/zram0"])
def test_active_zram_is_adopted_however_its_path_shows(path: str) -> None:
    plan = zramplan.decide(
        ZramSettings(), facts(stat(size=3 * G, algorithm="zstd"), stat("zram1"), swaps=(swap(path),))
    )

    assert plan.action == "done"
    assert plan.outcome
    assert (plan.outcome.state, plan.outcome.device) == ("adopted", "zram0")
    assert (plan.outcome.disksize, plan.outcome.algorithm, plan.outcome.notes) == (3 * G, "zstd", ())
    assert plan.outcome.reason == "zram0 is swap already (3G, zstd, priority 100) and stays as it is"


def test_what_differs_from_the_configuration_is_noted() -> None:
    stats = (stat(size=4 * G), stat("zram1", size=M))
    plan = zramplan.decide(
        ZramSettings(size="1G", algorithms=("lz4",)), facts(*stats, swaps=(swap(), swap("/dev/zram1")))
    )

    assert plan.outcome
    assert plan.outcome.notes == (
        "zram1 is zram swap too (1M)",
        "[Zram] asks for 1G; a device in use is not resized",
        "[Zram] asks for lz4; a device in use keeps its algorithm",
    )


@pytest.mark.parametrize(
    "other",
    [swap("/dev/sda2"), swap("/var/zram0", kind="file"), swap("/dev/zram"), swap("/dev/zramx"), swap("/dev/zram7")],
)
def test_other_swap_is_not_adopted(other: Swap) -> None:
    assert zramplan.decide(ZramSettings(), facts(stat(), swaps=(other,))).action == "use"


def test_adopting_needs_no_size() -> None:
    plan = zramplan.decide(ZramSettings(size="0"), facts(stat(size=G), swaps=(swap(),)))

    assert plan.outcome
    assert plan.outcome.state == "adopted"


def test_off_when_disabled() -> None:
    assert "Enabled=no" in off(ZramSettings(enabled=False), facts(stat(size=G), swaps=(swap(),)))


def test_off_in_a_container_and_says_which() -> None:
    reason = off(ZramSettings(), facts(stat(size=G), swaps=(swap(),), container="docker"))

    assert "container (docker)" in reason
    assert "AllowInContainer=yes" in reason


def test_a_container_may_be_allowed() -> None:
    allowed = ZramSettings(allow_in_container=True)

    assert zramplan.decide(allowed, facts(stat(), container="docker")).action == "use"


def test_off_on_a_kernel_without_swap() -> None:
    assert "no swap" in off(ZramSettings(), facts(stat(), swaps=None))


def test_off_for_size_0() -> None:
    assert "Size=max(ram - 8G, 0) gives no device" in off(ZramSettings(size="max(ram - 8G, 0)"), facts(stat()))


@pytest.mark.parametrize("size", ["512", "ram - 8G", "ram *", "40G"])
def test_a_wrong_size_costs_nobody_his_swap(size: str) -> None:
    plan = zramplan.decide(ZramSettings(size=size), facts(stat()))

    assert (plan.action, plan.disksize) == ("use", 3 * G)
    assert len(plan.notes) == 1
    assert size in plan.notes[0]
    assert "the default of 3G is taken" in plan.notes[0]


def test_a_large_size_is_noted() -> None:
    assert "more than twice" in zramplan.decide(ZramSettings(size="12G"), facts(stat())).notes[0]


@pytest.mark.parametrize(
    ("wanted", "chosen", "noted"),
    [
        (("zstd", "lz4"), "zstd", False),
        (("deflate", "lz4", "zstd"), "lz4", False),
        (("deflate", "842"), "lzo-rle", True),
        ((), "lzo-rle", False),
    ],
)
def test_algorithm(wanted: tuple[str, ...], chosen: str, noted: bool) -> None:
    name, note = zramplan.choose_algorithm(wanted, stat())

    assert name == chosen
    assert bool(note) == noted
    if note:
        assert "deflate 842" in note


def test_leftovers_have_a_size_and_are_no_swap() -> None:
    stats = (stat(size=G), stat("zram1"), stat("zram2", size=M), stat("zram3", size=M))

    assert zramplan.leftovers(facts(*stats, swaps=(swap("/zram3"),))) == ("zram0", "zram2")
