"""Moving in: the configurations that zram-generator proves itself on, zram-tools' and OpenEmbedded's, as memd reads them afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd import config
from memd.errors import InvalidArgs
from memd.kernel.root import Root
from memd.policy import zramexpr, zramimport, zramimportsize
from memd.policy.zramimport import Imported

M = 1 << 20
PATH = "/etc/systemd/zram-generator.conf"


def imported(text: str, command_line: str = "") -> Imported:
    return zramimport.generator([(PATH, text)] if text else [], command_line)


def keys(found: Imported, title: str = "Zram") -> dict[str, str]:
    return dict(dict(found.sections)[title])


def words(found: Imported) -> str:
    return " ".join(found.cannot)


def test_a_device_without_keys_has_their_default_and_not_ours() -> None:
    found = imported("[zram0]\n")

    assert keys(found) == {"Size": "min(ram / 2, 4096M)", "Priority": "100", "Discard": "yes"}
    assert "leaves it to the kernel" in words(found)


def test_algorithm_and_the_obsolete_fraction() -> None:
    found = imported("[zram0]\ncompression-algorithm = zstd\nhost-memory-limit = 2050\nzram-fraction = 0.75\n")

    assert keys(found)["Size"] == "(min(0.75 * ram, 4096M)) * min(floor(2050M / ram), 1)"
    assert keys(found)["Algorithms"] == "zstd"
    assert words(found) == ""


@given(st.integers(0, 10000), st.integers(64, 20000))
def test_a_machine_with_more_memory_than_the_limit_has_no_zram(limit: int, ram: int) -> None:
    """Megabytes both."""
    ours = keys(imported(f"[zram0]\nzram-size = ram / 2\nhost-memory-limit = {limit}\n"))["Size"]

    assert zramexpr.evaluate(ours, zramexpr.parse(ours), ram * M) == (0 if ram > limit else ram * M / 2)


@pytest.mark.parametrize("limit", ["much", "-1", "1.5", "9" * 30])
def test_a_limit_that_is_no_number(limit: str) -> None:
    found = imported(f"[zram0]\nzram-size = ram / 2\nhost-memory-limit = {limit}\n")

    assert keys(found)["Size"] == "ram / 2"
    assert "is no number of megabytes" in words(found)


def test_drop_ins_override_key_by_key() -> None:
    files = [
        ("/usr/lib/systemd/zram-generator.conf", "[zram0]\nzram-fraction = 0.5\nmax-zram-size = 1024\n"),
        (
            "/etc/systemd/zram-generator.conf.d/1.conf",
            "[zram0]\nmax-zram-size = none\n[zram2]\nzram-size = 0.1 * ram\n",
        ),
    ]
    found = zramimport.generator(files)

    assert keys(found)["Size"] == "0.5 * ram"
    assert keys(found, "Zram zram2")["Size"] == "0.1 * ram"
    assert found.origin == tuple(path for path, _ in files)


def test_the_kernel_command_line_beats_the_files() -> None:
    assert imported("[zram0]\n", "quiet systemd.zram=0").sections == (zramimport.OFF,)
    assert keys(imported("", "systemd.zram=0 systemd.zram=1"))["Size"] == "min(ram / 2, 4096M)"
    assert imported("", "quiet").sections == (zramimport.OFF,)


@pytest.mark.parametrize(
    "text", ["mount-point = /var/compressed\nfs-type = ext4", "fs-type = ext2", "mount-point = ///"]
)
def test_file_systems_are_not_memds(text: str) -> None:
    found = imported(f"[zram11]\n{text}\n[zram12]\nzram-size = 100\n")

    assert [title for title, _ in found.sections] == ["Zram"]
    assert keys(found)["Size"] == "100M"
    assert "memd makes swap only" in words(found)


def test_swap_options() -> None:
    assert keys(imported("[zram0]\noptions =\n"))["Discard"] == "no"
    found = imported("[zram0]\noptions = discard,nofail\nswap-priority = 5\n")
    assert (keys(found)["Discard"], keys(found)["Priority"]) == ("yes", "5")
    assert "swap option 'nofail'" in words(found)


def test_size_with_a_dictionary_and_recompression() -> None:
    found = imported(
        "[zram0]\ncompression-algorithm = lzo-rle zstd(dictionary=/etc/gaming,level=9) (recompargs)\nzram-size = min(0.75 * ram, 6000)\n"
    )

    assert keys(found)["Size"] == "min(0.75 * ram, 6000M)"
    assert keys(found)["Algorithms"] == "lzo-rle"
    assert sorted(keys(found)["Recompress"].removeprefix("zstd(").removesuffix(")").split(",")) == [
        "dict=/etc/gaming",
        "level=9",
    ]
    assert words(found) == "zram0: (recompargs): recompression is set by [Maintenance] in memd.conf"


def test_recompression_of_idle_pages_is_what_memd_does_anyway() -> None:
    assert imported("[zram0]\ncompression-algorithm = lz4 zstd(level=3) (type=idle)\n").cannot == ()


def test_obsolete_keys_and_a_section_that_comes_twice() -> None:
    found = imported(
        "[zram1]\nmemory-limit = 2\n[zram1]\nzram-fraction = 0.10\nmax-zram-size = none\nmemory-limit = none\n"
    )

    assert keys(found)["Size"] == "0.10 * ram"
    assert "host-memory-limit" not in words(found)


def test_limit_and_backing_device() -> None:
    found = imported("[zram0]\nzram-resident-limit = ram / 4\nwriteback-device = /dev/sda7\n")

    assert keys(found)["MemLimit"] == "ram / 4"
    assert (keys(found)["BackingDevice"], keys(found)["BackingEncrypted"]) == ("/dev/sda7", "no")
    assert "not encrypted" in words(found)


def test_programs_are_not_run() -> None:
    found = imported("[zram0]\nset!maxhotplug = echo 3\nzram-size = maxhotplug * 100\n")

    assert "runs no programs" in words(found)
    assert "no name 'maxhotplug'" in words(found)
    assert keys(found)["Size"] == "min(ram / 2, 4096M)"


def test_what_is_no_section_means_nothing() -> None:
    found = imported("zram-size = 1\n[zramX]\nzram-size = 2\n[other]\n")

    assert found.sections == (zramimport.OFF,)
    assert f"{PATH}:1:" in words(found)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("4096", "4096M"),
        ("ram", "ram"),
        ("ram * 2", "ram * 2"),
        ("1.5*ram", "1.5*ram"),
        ("ram / 2 + 100", "ram / 2 + 100M"),
        ("min(ram, 8192)", "min(ram, 8192M)"),
        (
            "min(min(ram, 4096) + max(ram - 4096, 0) / 2, 32 * 1024)",
            "min(min(ram, 4096M) + max(ram - 4096M, 0) / 2, 32M * 1024)",
        ),
        ("int(ram / 3)", "floor(ram / 3)"),
        ("0", "0"),
        ("-1 + 2", None),
        ("ram ^ 2", None),
        ("log(ram)", None),
        ("ram2 / 2", None),
        ("", None),
        ("min(1,2,3,4,5,6,7,8,9,10,11)", None),
    ],
)
def test_sizes(theirs: str, ours: str | None) -> None:
    if ours is None and theirs != "-1 + 2":
        with pytest.raises(InvalidArgs):
            zramimportsize.in_megabytes(theirs)
    elif ours is not None:
        assert zramimportsize.in_megabytes(theirs) == ours


sizes = st.recursive(
    st.sampled_from(["ram", "ram / 2", "0.75 * ram", "4096", "100"]),
    lambda inner: st.tuples(
        st.sampled_from(["min({0}, {1})", "max({0}, {1})", "({0} + {1})", "({0}) / 2", "3 * ({0})"]), inner, inner
    ).map(lambda parts: parts[0].format(*parts[1:])),
    max_leaves=4,
)


@given(sizes, st.integers(64, 1 << 20))
def test_a_translated_size_is_the_same_size(text: str, ram: int) -> None:
    """Megabytes there, bytes here."""
    try:
        ours = zramimportsize.in_megabytes(text)
    except InvalidArgs as error:
        assert "more than 10 numbers" in str(error)  # noqa: PT017 - the only reason
        return
    theirs = eval(text, {"__builtins__": {}}, {"ram": float(ram), "min": min, "max": max})

    assert zramexpr.evaluate(ours, zramexpr.parse(ours), ram * M) == pytest.approx(theirs * M)


def test_zram_tools() -> None:
    found = zramimport.zramswap(
        "/etc/default/zramswap", '# Compression\nALGO=zstd\nPERCENT=60\nSIZE=256\n  PRIORITY="50"\n'
    )

    assert keys(found) == {"Size": "60%", "Algorithms": "zstd", "Priority": "50", "Discard": "no"}
    assert found.cannot == ()


def test_zram_tools_with_nothing_but_comments() -> None:
    found = zramimport.zramswap("/etc/default/zramswap", "#ALGO=zstd\n#PERCENT=60\n")

    assert keys(found) == {"Size": "256M", "Algorithms": "lz4", "Priority": "100", "Discard": "no"}


def test_openembedded() -> None:
    found = zramimport.openembedded("/etc/default/zram", "FACTOR=50\n")

    assert keys(found)["Size"] == "50%"
    assert "one device of that size" in words(found)
    assert keys(zramimport.openembedded("/etc/default/zram", ""))["Size"] == "90%"


@pytest.mark.parametrize(
    "line",
    [
        "PERCENT=$(cat /x)",
        "PERCENT=`id`",
        "PERCENT=50; reboot",
        "rm -rf /",
        "FOO=1",
        "PERCENT=-1",
        f"PERCENT={'9' * 23}",
    ],
)
def test_shell_is_not_run(line: str) -> None:
    found = zramimport.zramswap("/etc/default/zramswap", f"{line}\n")

    assert keys(found)["Size"] == "256M"
    assert "/etc/default/zramswap:1:" in words(found)


lines = st.sampled_from(["[zram0]", "[zram1]", "zram-size = ram / 4", "zram-size = 512", "compression-algorithm = lz4 zstd(level=3)",
    "swap-priority = 10", "options =", "writeback-device = /dev/sda1", "zram-resident-limit = 300", "mount-point = /x"])  # fmt: skip


@given(st.lists(lines, max_size=12))
def test_what_is_printed_is_a_configuration_without_findings(
    tmp_path_factory: pytest.TempPathFactory, text: list[str]
) -> None:
    file = tmp_path_factory.mktemp("imported") / "memd.conf"
    file.write_text(zramimport.render(imported("\n".join(text))))

    assert config.load(Root("/nowhere"), 4 << 30, str(file)).findings == ()


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    shell = zramimport.zramswap("p", text), zramimport.openembedded("p", text)
    for found in (imported(text), imported(f"[zram0]\nzram-size={text}"), *shell):
        assert all(line.isprintable() for line in zramimport.render(found).splitlines())


def test_the_page(tmp_path: Path) -> None:
    assert zramimport.render(imported("[zram0]\nzram-size = 512\nmount = x\ncompression-algorithm = lz4\n")) == (
        "# memd.conf that does what /etc/systemd/zram-generator.conf did (memctl config import)\n"
        "# Not the same: zram0: mount = x: memd has no such setting\n"
        "\n[Zram]\nSize=512M\nAlgorithms=lz4\nPriority=100\nDiscard=yes\n"
    )
