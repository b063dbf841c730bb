"""memd.kernel.zramothers and zswap: good, missing, garbage; and what doctor makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.early import Swap
from memd.errors import BadKernelFile
from memd.kernel import zramothers, zswap
from memd.kernel.root import Root
from memd.policy import otherswap, swappriority
from memd.policy import zramothers as policy

Put = Callable[[str, str | bytes], None]


def test_generator_files_come_in_its_order(root: Root, put: Put) -> None:
    put("usr/lib/systemd/zram-generator.conf", "a")
    put("etc/systemd/zram-generator.conf", "b")
    put("usr/lib/systemd/zram-generator.conf.d/2.conf", "c")
    put("etc/systemd/zram-generator.conf.d/2.conf", "d")
    put("run/systemd/zram-generator.conf.d/1.conf", "e")
    put("run/systemd/zram-generator.conf.d/readme", "f")

    assert [text for _, text in zramothers.generator_files(root)] == ["b", "e", "d"]


def test_a_masked_drop_in_says_nothing(root: Root, put: Put, tmp_path: Path) -> None:
    put("usr/lib/systemd/zram-generator.conf.d/2.conf", "c")
    (tmp_path / "etc/systemd/zram-generator.conf.d").mkdir(parents=True)
    os.symlink("/dev/null", tmp_path / "etc/systemd/zram-generator.conf.d/2.conf")

    assert [text for _, text in zramothers.generator_files(root)] == [""]


def test_units_and_scripts_that_start_at_boot(root: Root, put: Put) -> None:
    put("etc/systemd/system/multi-user.target.wants/zramswap.service", "")
    put("etc/rc2.d/S01zram", "")
    put("run/systemd/generator/dev-zram0.swap", "")
    put("run/systemd/generator/dev-sda2.swap", "")

    assert zramothers.is_wanted(root, "zramswap.service")
    assert zramothers.is_wanted(root, "zram.service")
    assert not zramothers.is_wanted(root, "zram-swap.service")
    assert zramothers.generated(root) == ("dev-zram0.swap",)


def test_zswap_and_hibernation(root: Root, put: Put) -> None:
    put("sys/module/zswap/parameters/enabled", "Y\n")
    put("sys/power/state", "freeze mem disk\n")
    put("sys/power/resume", "8:2\n")

    assert zswap.is_on(root) is True
    assert zswap.hibernates(root)
    put("sys/power/resume", "0:0\n")
    assert not zswap.hibernates(root)


def test_missing(root: Root) -> None:
    assert zramothers.generator_files(root) == []
    assert not zramothers.has_generator(root)
    assert zramothers.text(root, zramothers.ZRAMSWAP) is None
    assert zramothers.generated(root) == ()
    assert zswap.is_on(root) is None
    assert not zswap.hibernates(root)


def test_garbage(root: Root, put: Put) -> None:
    put("sys/module/zswap/parameters/enabled", "perhaps\n")
    put("etc/default/zramswap", b"x" * (2 << 20))

    with pytest.raises(BadKernelFile):
        zswap.is_on(root)
    assert zramothers.text(root, zramothers.ZRAMSWAP) is None


@pytest.mark.parametrize(
    ("others", "severity", "what"),
    [
        (
            policy.Others(generator=True, configured=("/etc/systemd/zram-generator.conf",)),
            "warning",
            "zram-generator.conf",
        ),
        (policy.Others(generated=("dev-zram0.swap",)), "warning", "dev-zram0.swap"),
        (policy.Others(generator=True, command_line="systemd.zram=1"), "warning", "systemd.zram="),
        (policy.Others(generator=True), "note", "not configured"),
        (policy.Others(units=("zramswap.service",)), "warning", "zram-tools"),
    ],
)
def test_a_second_manager_is_found(others: policy.Others, severity: str, what: str) -> None:
    (found,) = policy.findings(others)

    assert (found.rule, found.severity) == ("second-zram-manager", severity)
    assert what in found.what
    assert found.mend


@pytest.mark.parametrize(
    "others",
    [
        policy.Others(),
        policy.Others(configured=("/etc/systemd/zram-generator.conf",)),
        policy.Others(generator=True, configured=("x",), command_line="quiet systemd.zram=0"),
    ],
)
def test_nobody_else(others: policy.Others) -> None:
    assert list(policy.findings(others)) == []


def swap(name: str, priority: int) -> Swap:
    return Swap(path=f"/dev/{name}", kind="partition", size=1 << 20, used=0, priority=priority)


@pytest.mark.parametrize(
    ("facts", "rules"),
    [
        (otherswap.Facts(swaps=(swap("zram0", 100), swap("sda2", -2)), zswap=False), []),
        (otherswap.Facts(swaps=(swap("zram0", 100), swap("sda2", 100))), ["swap-before-zram"]),
        (
            otherswap.Facts(swaps=(swap("zram0", 100), swap("sda2", 200)), zswap=True),
            ["swap-before-zram", "zswap-before-zram"],
        ),
        (otherswap.Facts(swaps=(swap("zram0", 100),), hibernates=True), ["no-swap-to-hibernate-to"]),
        (otherswap.Facts(swaps=(swap("zram0", 100), swap("sda2", -2)), hibernates=True), []),
        (otherswap.Facts(swaps=(swap("sda2", 5),), zswap=True, hibernates=True), []),
    ],
)
def test_other_swap(facts: otherswap.Facts, rules: list[str]) -> None:
    assert [word.rule for word in otherswap.words(facts)] == rules
    assert [found.rule for found in policy.other_swap(facts)] == rules


@pytest.mark.parametrize(
    ("wanted", "others", "taken"),
    [(100, (), 100), (100, (-2,), 100), (100, (100,), 101), (5, (10, 7), 11), (-1, (10,), -1), (5, (32767,), 32767)],
)
def test_zram_goes_first(wanted: int, others: tuple[int, ...], taken: int) -> None:
    found, note = swappriority.first(wanted, tuple(swap("sda2", priority) for priority in others))

    assert found == taken
    assert (note is None) is (taken == wanted)
