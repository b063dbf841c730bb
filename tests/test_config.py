"""memd.conf: every wrong thing names file, line, key and what would be right, and costs nothing but itself."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd import config, config_allow, config_zram, ini
from memd.errors import ConfigError
from memd.kernel.root import Root
from memd.model import AreaCap, Config, Level

Put = Callable[[str, str | bytes], None]
TOTAL = 4 << 30


def load(root: Root, put: Put, text: str) -> Config:
    put("etc/memd/memd.conf", text)
    return config.load(root, TOTAL)


def test_no_file_is_fine(root: Root) -> None:
    found = config.load(root, TOTAL)

    assert found.findings == ()
    assert found.zram.priority == 100
    assert found.bounds.max_bytes == 2 << 30


def test_values(root: Root, put: Put) -> None:
    found = load(
        root,
        put,
        "[Zram]\nSize=ram / 2\nAlgorithms=lz4 lzo\nPriority=5\nDiscard=no\n"
        "[Allow camera]\nUnit=camera.service camera@0.service\nUser=0\nGroup=0 44\nHeaps=system my_cma\nMaxBytes=10%\nMaxBuffers=7\n"
        "[Lending]\nFloor=100M\nDeadline=500ms\n[Pressure]\nLow=some 50ms 2s\nRelief=6s\n[Heaps]\nAny=my_cma system\n"
        "[Heap my_cma]\nAliases=camera video\n",
    )

    assert found.findings == ()
    assert found.zram.size == "ram / 2"
    assert found.zrams == (found.zram,)
    assert found.zram.algorithms == ("lz4", "lzo")
    rule = found.rules[-1]
    assert (rule.name, rule.users, rule.groups) == ("camera", frozenset({0}), frozenset({0, 44}))
    assert rule.units == {"camera.service", "camera@0.service"}
    assert rule.max_bytes == TOTAL // 10
    assert (found.bounds.floor, found.bounds.deadline) == (100 << 20, 0.5)
    assert found.pressure.triggers[0].window == 2.0
    assert found.any_heaps == ("my_cma", "system")
    assert found.aliases == {"my_cma": ("camera", "video")}


def test_several_devices(root: Root, put: Put) -> None:
    """The first is [Zram], whatever the order of the file; Enabled= and AllowInContainer= are said once."""
    found = load(
        root,
        put,
        "[Zram slow]\nSize=2G\nAlgorithms=zstd( level=9 , dict=/etc/d )  lz4\nRecompress=deflate(deflate.winbits=-12)\n"
        "MemLimit=ram / 4\nBackingDevice=/dev/disk/by-partlabel/memd\nBackingEncrypted=no\nCompressedWriteback=yes\n"
        "WritebackBatch=64\nPriority=5\n[Zram]\nEnabled=no\nAllowInContainer=yes\n[Zram third]\nSize=0\n",
    )

    assert found.findings == ()
    assert [device.name for device in found.zrams] == ["", "slow", "third"]
    slow = found.zrams[1]
    assert slow.algorithms == ("zstd(level=9,dict=/etc/d)", "lz4")
    assert slow.recompress == ("deflate(deflate.winbits=-12)",)
    assert (slow.mem_limit, slow.backing_device) == ("ram / 4", "/dev/disk/by-partlabel/memd")
    assert (slow.backing_encrypted, slow.compressed_writeback, slow.writeback_batch) == (False, True, 64)
    assert all(not device.enabled and device.allow_in_container for device in found.zrams)


def test_only_so_many_devices(root: Root, put: Put) -> None:
    found = load(root, put, "".join(f"[Zram n{number}]\nSize=1G\n" for number in range(config_zram.MOST_DEVICES + 1)))

    assert len(found.zrams) == config_zram.MOST_DEVICES
    assert [finding.section for finding in found.findings] == ["Zram n15", "Zram n16"]


WRONG = [
    ("[Zram]\nSise=1G\n", 2, "Zram", "Sise", "knows Enabled, Size"),
    ("[Zram]\n\nSize=512\n", 3, "Zram", "Size", "512M"),
    ("[Zram]\nPriority=40000\n", 2, "Zram", "Priority", "32767"),
    ("[Zram]\nPriority=x\n", 2, "Zram", "Priority", "-1"),
    ("[Zram]\nDiscard=maybe\n", 2, "Zram", "Discard", "neither yes nor no"),
    ("[Zram]\nAlgorithms=../x\n", 2, "Zram", "Algorithms", "no name of an algorithm"),
    ("[Zram]\nAlgorithms=zstd(level=3 lz4\n", 2, "Zram", "Algorithms", "not closed"),
    ("[Zram]\nAlgorithms=zstd)\n", 2, "Zram", "Algorithms", "do not match"),
    ("[Zram]\nAlgorithms=zstd(level=x)\n", 2, "Zram", "Algorithms", "write level=3"),
    ("[Zram]\nAlgorithms=zstd(level=3, level=4)\n", 2, "Zram", "Algorithms", "twice"),
    ("[Zram]\nAlgorithms=zstd(dict=zstd.dict)\n", 2, "Zram", "Algorithms", "absolute path"),
    ("[Zram]\nAlgorithms=zstd(dict=/a b)\n", 2, "Zram", "Algorithms", "absolute path"),
    ("[Zram]\nAlgorithms=zstd(window=3)\n", 2, "Zram", "Algorithms", "no parameter 'window'"),
    ("[Zram]\nRecompress=a b c d\n", 2, "Zram", "Recompress", "room for 3"),
    ("[Zram]\nMemLimit=512\n", 2, "Zram", "MemLimit", "512M"),
    ("[Zram]\nBackingDevice=swapfile\n", 2, "Zram", "BackingDevice", "/dev/disk"),
    ("[Zram]\nBackingDevice=/dev/../etc/passwd\n", 2, "Zram", "BackingDevice", "/dev/disk"),
    ("[Zram]\nWritebackBatch=0\n", 2, "Zram", "WritebackBatch", "1 to 4096"),
    ("[Zram slow]\nPriority=3\n", 1, "Zram slow", "", "Size= is missing"),
    ("[Zram slow]\nSize=3\n", 2, "Zram slow", "Size", "3M"),
    ("[Zram a-b]\nSize=1G\n", 1, "Zram a-b", "", "letters and digits"),
    ("[Zram slow]\nSize=1G\nEnabled=no\n", 3, "Zram slow", "Enabled", "knows Size, Algorithms"),
    ("[Sram]\nSize=1G\n", 1, "Sram", "", "[Zram]"),
    ("[Sram]\n", 1, "Sram", "", "[Zram]"),
    ("[Allow]\nUser=0\n", 1, "Allow", "", "[Allow NAME]"),
    ("Size=1G\n", 1, "", "", "before any [Section]"),
    ("[Zram\n", 1, "", "", "write it like [Zram]"),
    ("[Zram]\nSize\n", 2, "", "", "no Key=value"),
    ("[Allow a]\nUser=nobody-of-that-name\n", 2, "Allow a", "User", "there is no user"),
    ("[Allow a]\nHeaps=x\nMaxBytes=x:512\n", 3, "Allow a", "MaxBytes", "512M"),
    ("[Allow a]\nHeaps=x\nMaxBytes=x:\n", 3, "Allow a", "MaxBytes", "no limit of a heap"),
    ("[Allow a]\nHeaps=x\nMaxBytes=x:120%\n", 3, "Allow a", "MaxBytes", "more than 100%"),
    ("[Allow a]\nHeaps=x\nMaxBytes=x:0%\n", 3, "Allow a", "MaxBytes", "is nothing"),
    ("[Allow a]\nHeaps=x\nMaxBytes=:1M\n", 3, "Allow a", "MaxBytes", "'system:256M my_cma:50%'"),
    ("[Allow a]\nHeaps=x\nMaxBytes=x:1M 2M 3M\n", 3, "Allow a", "MaxBytes", "two limits"),
    ("[Allow a]\nHeaps=x\nTotalBytes=x:1M x:2M\n", 3, "Allow a", "TotalBytes", "two limits"),
    ("[Allow a]\nHeaps=a/b\nTotalBytes=x:1M\n", 2, "Allow a", "Heaps", "name of a heap"),
    ("[Allow a]\nUnit=camera\n", 2, "Allow a", "Unit", "whole name, as in camera.service"),
    ("[Allow a]\nUnit=camera@.service\n", 2, "Allow a", "Unit", "no unit that programs run in"),
    ("[Allow a]\nUnit=camera.slice\n", 2, "Allow a", "Unit", "no unit that programs run in"),
    ("[Allow a]\nUnit=user@1000.service\n", 2, "Allow a", "Unit", "write User= instead"),
    ("[Allow a]\nMaxBytes=512\n", 2, "Allow a", "MaxBytes", "512M"),
    ("[Allow a]\nMaxBytes=120%\n", 2, "Allow a", "MaxBytes", "100%"),
    ("[Allow a]\nHeaps=../x\n", 2, "Allow a", "Heaps", "name of a heap"),
    ("[Allow a]\nMaxBuffers=0\n", 2, "Allow a", "MaxBuffers", "from 1"),
    ("[Pressure]\nLow=some 100\n", 2, "Pressure", "Low", "some 100ms 1s"),
    ("[Pressure]\nLow=some 100 1s\n", 2, "Pressure", "Low", "unit of time"),
    ("[Pressure]\nCritical=full 100ms 11s\n", 2, "Pressure", "Critical", "500ms to 10s"),
    ("[Pressure]\nRelief=600ms\n", 2, "Pressure", "Relief", "not longer"),
    ("[Pressure]\nLowUnit=sh -c reboot\n", 2, "Pressure", "LowUnit", "no unit to start"),
    ("[Pressure]\nMediumUnit=/usr/bin/x.service\n", 2, "Pressure", "MediumUnit", "no unit to start"),
    ("[Pressure]\nCriticalUnit=.service\n", 2, "Pressure", "CriticalUnit", "no unit to start"),
    ("[Pressure]\nNoneUnit=calm\n", 2, "Pressure", "NoneUnit", "no unit to start"),
    ("[Pressure camera]\nLow=some 50ms 1s\n", 1, "Pressure camera", "", "no unit with a cgroup"),
    ("[Pressure a.timer]\nLow=some 50ms 1s\n", 1, "Pressure a.timer", "", "no unit with a cgroup"),
    ("[Pressure a.service]\nLow=some\n", 2, "Pressure a.service", "Low", "no PSI trigger"),
    ("[Pressure a.service]\nRelief=600ms\n", 2, "Pressure a.service", "Relief", "not longer"),
    ("[Pressure a.service]\nLowMemoryMonitor=yes\n", 2, "Pressure a.service", "LowMemoryMonitor", "no such key"),
    ("[Pressure]\nHold=1h\n", 2, "Pressure", "Hold", "from 0 to 10s"),
    ("[Pressure]\nLowMemoryMonitor=maybe\n", 2, "Pressure", "LowMemoryMonitor", "neither yes nor no"),
    ("[Lending]\nFloor=-1M\n", 2, "Lending", "Floor", "512M"),
    ("[Lending]\nDeadline=10\n", 2, "Lending", "Deadline", "unit of time"),
    ("[Lending]\nDeadline=0\n", 2, "Lending", "Deadline", "from 100ms to 10min"),
    ("[Lending]\nDeadline=1h\n", 2, "Lending", "Deadline", "from 100ms to 10min"),
    ("[Lending]\nRefuseAt=high\n", 2, "Lending", "RefuseAt", "critical or never"),
    ("[Allow a]\nExemptFromPressure=2\n", 2, "Allow a", "ExemptFromPressure", "neither yes nor no"),
    ("[Zram]\nSize=1G\x1b[31m\n", 2, "", "", "printable"),
]


@pytest.mark.parametrize(
    ("text", "whole", "areas"),
    [
        ("256M", 256 << 20, ()),
        ("25%", 1 << 30, ()),
        ("system:256M", None, (AreaCap("system", 256 << 20),)),
        ("system:256M my_cma:50%", None, (AreaCap("system", 256 << 20), AreaCap("my_cma", share=0.5))),
        ("my_cma:12.5%  1G", 1 << 30, (AreaCap("my_cma", share=0.125),)),
        ("a:b:1M", None, (AreaCap("a:b", 1 << 20),)),
    ],
)
@pytest.mark.parametrize("key", ["MaxBytes", "TotalBytes"])
def test_limits_of_areas(
    root: Root, put: Put, key: str, text: str, whole: int | None, areas: tuple[AreaCap, ...]
) -> None:
    found = load(root, put, f"[Allow a]\nUser=0\nHeaps=system my_cma a:b\n{key}={text}\n")
    rule = found.rules[-1]

    assert found.findings == ()
    pairs = {"MaxBytes": (rule.max_bytes, rule.max_bytes_in), "TotalBytes": (rule.total_bytes, rule.total_bytes_in)}
    assert pairs.pop(key) == (whole, areas)
    assert list(pairs.values()) == [(None, ())]


def test_a_limit_for_a_heap_that_the_rule_does_not_name_closes_it(root: Root, put: Put) -> None:
    """Where it is named by another file, or by *, it is fine."""
    put("etc/memd/memd.conf.d/a.conf", "[Allow a]\nUser=0\nHeaps=system contiguous\n")
    (finding,) = load(root, put, "[Allow a]\nMaxBytes=sytem:1M\n").findings

    assert (
        finding.message == "Heaps= of this rule does not name 'sytem'; it names contiguous system; the rule is closed"
    )
    assert (finding.line, finding.key) == (2, "MaxBytes")
    assert config.load(root, TOTAL).rules[-1].closed
    assert load(root, put, "[Allow a]\nMaxBytes=contiguous:1M\n").findings == ()
    put("etc/memd/memd.conf.d/b.conf", "[Allow a]\nHeaps=*\n")
    assert load(root, put, "[Allow a]\nMaxBytes=sytem:1M\n").findings == ()


@pytest.mark.parametrize(("text", "line", "section", "key", "word"), WRONG)
def test_wrong_names_the_place_and_what_is_right(
    root: Root, put: Put, text: str, line: int, section: str, key: str, word: str
) -> None:
    (finding,) = load(root, put, text).findings

    assert (finding.file, finding.line) == (root.path("etc/memd/memd.conf"), line)
    assert (finding.section, finding.key) == (section, key)
    assert word in finding.message
    with pytest.raises(ConfigError, match=f"memd.conf:{line}"):
        config.check(root, TOTAL)


def test_a_typo_never_costs_the_device_its_swap(root: Root, put: Put) -> None:
    put("etc/memd/memd.conf", "[Zram]\nSise=1G\nSize=lots\nPriority=7\n")

    settings, findings = config_zram.settings(ini.read(root))

    assert settings.enabled
    assert settings.size is None  # the default curve
    assert settings.priority == 7
    assert len(findings) == 2


def test_a_wrong_value_closes_its_rule_and_no_other(root: Root, put: Put) -> None:
    found = load(root, put, "[Allow a]\nUser=0\nHeaps=system\nMaxBytes=many\n[Allow b]\nUser=0\nHeaps=system\n")

    assert [(rule.name, rule.closed) for rule in found.rules if rule.name in "ab"] == [("a", True), ("b", False)]


def test_a_closed_rule_refuses_even_where_its_heaps_make_no_sense(root: Root, put: Put) -> None:
    (rule,) = (rule for rule in load(root, put, "[Allow a]\nUser=0\nHeaps=a/b\n").rules if rule.name == "a")

    assert (rule.closed, rule.heaps) == (True, frozenset({"*"}))


def test_dropins_override_key_by_key_and_empty_resets(root: Root, put: Put) -> None:
    put("usr/lib/memd/memd.conf", "[Zram]\nSize=1G\nPriority=5\n")
    put("usr/lib/memd/memd.conf.d/10-a.conf", "[Zram]\nSize=2G\n")
    put("run/memd/memd.conf.d/20-b.conf", "[Zram]\nPriority=\n")
    put("etc/memd/memd.conf.d/10-a.conf", "[Zram]\nSize=3G\n")  # hides the vendor's file of that name
    put("etc/memd/memd.conf.d/readme", "nonsense")

    found = config.load(root, TOTAL)

    assert (found.zram.size, found.zram.priority) == ("3G", 100)


def test_etc_hides_the_vendors_main_file(root: Root, put: Put) -> None:
    put("usr/lib/memd/memd.conf", "[Zram]\nSize=1G\n")
    put("etc/memd/memd.conf", "[Zram]\nPriority=5\n")

    assert config.load(root, TOTAL).zram.size is None


def test_the_builtin_rule_can_be_closed(root: Root, put: Put) -> None:
    found = load(root, put, "[Allow dmaheap]\nHeaps=\nGroup=\n")

    assert all(not rule.heaps for rule in found.rules if rule.name == "dmaheap")


def test_a_machine_without_the_group_is_told(root: Root, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> int:
        raise KeyError(name)

    monkeypatch.setattr(config_allow, "_gid", absent)
    found = config.load(root, TOTAL)

    assert found.findings == ()
    assert "no group dmaheap" in config.lacking(found)[0]
    assert config.lacking(load(root, put, "[Allow dmaheap]\nGroup=0\n")) == ()


def test_a_named_file_that_is_not_there_is_told(root: Root) -> None:
    (finding,) = config.load(root, TOTAL, root.path("nowhere.conf")).findings

    assert "no such file" in finding.message


def test_a_directory_or_unreadable_file_is_told(root: Root, put: Put) -> None:
    put("etc/memd/memd.conf/inside", "")

    (finding,) = config.load(root, TOTAL).findings

    assert "cannot be read" in finding.message


def test_a_named_file_has_dropins_beside_it(root: Root, put: Put) -> None:
    put("my.conf", "[Zram]\nPriority=1\n")
    put("my.conf.d/x.conf", "[Zram]\nPriority=2\n")

    assert config.load(root, TOTAL, root.path("my.conf")).zram.priority == 2


def test_a_wrong_trigger_keeps_the_default_for_that_level(root: Root, put: Put) -> None:
    found = load(root, put, "[Pressure]\nLow=nonsense\n")

    assert [trigger.level for trigger in found.pressure.triggers] == [Level.LOW, Level.MEDIUM, Level.CRITICAL]


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["[Zram]", "[Allow x]", "Size=", "=", "User=0", "Heaps=%", "\0"])).map("\n".join)
)
def test_no_text_breaks_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("conf") / "memd.conf"
    file.write_bytes(text.encode("utf-8", "surrogateescape" if os.name else "strict"))

    assert config.load(Root("/nowhere"), TOTAL, str(file)).zram.priority in range(-1, 32768)
