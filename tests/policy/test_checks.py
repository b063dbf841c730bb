"""What doctor thinks of the facts: each rule fires on what breaks it, and on nothing else."""

from __future__ import annotations

import pytest

from memd.early import Finding
from memd.policy import checks, checkup, kerneloptions
from memd.policy.checks import Node
from memd.policy.checkup import ERROR, NOTE, WARNING, Ailment
from memd.policy.kerneloptions import OPTIONS

GOOD = {
    "MemoryMax": "infinity", "MemoryHigh": "infinity", "Slice": "-.slice", "ManagedOOMPreference": "omit", "OOMPolicy": "continue",
    "FileDescriptorStorePreserve": "yes", "UnitFileState": "enabled",
}  # fmt: skip
ALL = {option.name: "y" for option in OPTIONS}
NEW = (7, 3)


def rules(found: object) -> list[str]:
    return [one.rule for one in found]  # type: ignore[attr-defined]


def nowhere(_path: str) -> bool:
    return False


def test_a_kernel_with_everything_has_no_finding() -> None:
    assert rules(kerneloptions.judge(ALL, nowhere, NEW)) == []


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_each_option_is_missed_by_its_name(option: kerneloptions.Option) -> None:
    config = {name: value for name, value in ALL.items() if name != option.name}
    (found, *more) = kerneloptions.judge(config, nowhere, NEW)

    assert found.rule == f"kernel-{option.name.lower().replace('_', '-')}"
    assert (found.costs, found.severity) == (option.costs, option.needs)
    assert f"CONFIG_{option.name}" in found.mend
    assert more == []


def test_what_hangs_on_a_missing_option_is_not_told_too() -> None:
    config = {name: "y" for name in ALL if not name.startswith("DMABUF")}

    assert rules(kerneloptions.judge(config, nowhere, NEW)) == ["kernel-dmabuf-heaps"]


def test_older_kernels_do_not_miss_what_came_later() -> None:
    assert "kernel-zram-multi-comp" not in rules(kerneloptions.judge({}, nowhere, (6, 1)))
    assert "kernel-zram-multi-comp" in rules(kerneloptions.judge({"ZRAM": "m"}, nowhere, (6, 2)))


def test_an_untold_configuration_is_judged_by_what_is_there() -> None:
    seen = {option.seen for option in OPTIONS if option.seen}

    assert rules(kerneloptions.judge(None, seen.__contains__, NEW)) == []
    (found,) = kerneloptions.judge(None, (seen - {"proc/pressure/memory"}).__contains__, NEW)
    assert found.rule == "kernel-psi"
    assert "does not tell" in found.what


@pytest.mark.parametrize(
    ("node", "who"),
    [
        (Node("/dev/dma_heap/system", 0o660, "video"), "group video"),
        (Node("/dev/dma_heap/system", 0o666, "root"), "everybody"),
        (Node("/dev/udmabuf", 0o600, "root", acl=True), "ACL"),
    ],
)
def test_open_nodes(node: Node, who: str) -> None:
    (found,) = checks.nodes([node])

    assert (found.rule, found.severity) == ("open-node", WARNING)
    assert who in found.what
    assert ("dma_heap" if "dma_heap" in node.path else "misc") in found.mend


def test_closed_nodes() -> None:
    assert list(checks.nodes([Node("/dev/dma_heap/system", 0o600, "root")])) == []


def test_the_bus() -> None:
    assert list(checks.bus(tells_process=True, policy=True, group=True)) == []
    assert rules(checks.bus(tells_process=False, policy=False, group=False)) == [
        "bus-policy",
        "bus-process",
        "no-group",
    ]


def test_a_good_unit() -> None:
    assert list(checks.unit(GOOD)) == []
    assert list(checks.unit({"Slice": "-.slice", "ManagedOOMPreference": "omit", "OOMPolicy": "continue"})) == []


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("MemoryMax", "104857600", ERROR),
        ("MemoryHigh", "104857600", WARNING),
        ("Slice", "system.slice", WARNING),
        ("ManagedOOMPreference", "none", WARNING),
        ("OOMPolicy", "stop", WARNING),
        ("FileDescriptorStorePreserve", "no", WARNING),
        ("UnitFileState", "disabled", WARNING),
    ],
)
def test_a_bad_unit(name: str, value: str, severity: str) -> None:
    (found,) = checks.unit(GOOD | {name: value})

    assert found.severity == severity
    assert value in found.what


def test_configuration() -> None:
    wrong = Finding(file="/etc/memd/memd.conf", line=3, section="Zram", key="Size", message="'x' is no size")
    (found,) = checks.configuration([wrong])

    assert (found.severity, found.rule) == (ERROR, "configuration")
    assert "/etc/memd/memd.conf:3" in found.what


@pytest.mark.parametrize(("value", "count"), [(None, 0), ("Y\n", 0), ("1", 0), ("N\n", 1), ("0", 1)])
def test_accounting(value: str | None, count: int) -> None:
    assert len(list(checks.accounting(value))) == count


def test_the_worst_comes_first_and_only_errors_are_bad_news() -> None:
    found = [Ailment(name, name, "", "") for name in (NOTE, ERROR, WARNING)]

    assert rules(checkup.ordered(found)) == [ERROR, WARNING, NOTE]
    assert checkup.is_bad(found)
    assert not checkup.is_bad(found[::2])
