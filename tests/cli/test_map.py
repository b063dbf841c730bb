"""memctl map and map check: on files, with real dtc and cpp, without memd."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from memd.cli.main import main
from memd.policy.maptable import RULES
from tests.trees import MAPS, board, compiled, vendor

OVERLAP = board("a@80000000 { reg = <0 0x80000000 0 0x200000>; }; b@80100000 { reg = <0 0x80100000 0 0x100000>; };")
SHIPPED = board("tz: tz@80000000 { reg = <0 0x80000000 0 0x200000>; no-map; };")
OVERLAY = "/dts-v1/;\n/plugin/;\n&{/reserved-memory} { b@80100000 { reg = <0 0x80100000 0 0x100000>; }; };\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def put(name: str, text: str) -> str:
    path = Path(name)
    path.write_bytes(compiled(text) if path.suffix in {".dtb", ".dtbo"} else text.encode())
    return name


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(["map", *argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_vendors_page_as_source(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "check", str(MAPS / "vendor.dts"), "--kernel", "7.2")

    assert status == 0
    assert out.endswith("1 note\n")
    assert "wpss@0x84800000 writes its unit address with 0x [unit-address]" in " ".join(out.split())
    assert "name it wpss@84800000" in out


def test_an_error_is_bad_news_and_says_what_to_do(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "check", put("a.dtb", OVERLAP))

    assert status == 1
    assert out.splitlines()[1].startswith(
        "error    /reserved-memory/b@80100000: a@80000000 (0x80000000..0x801fffff) and"
    )
    assert "move b@80100000 to 0x80200000" in out


def test_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "check", put("a.dtb", OVERLAP), "--json")
    told = json.loads(out)

    assert (status, told["board"], told["counts"]["errors"]) == (1, "A board", 1)
    assert told["findings"][0]["rule"] == "overlap"
    assert told["findings"][0]["ranges"] == [
        {"base": 0x80000000, "size": 0x200000},
        {"base": 0x80100000, "size": 0x100000},
    ]
    assert [one["findings"] for one in told["regions"]] == [["overlap"], ["overlap"]]


def test_sarif(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "check", put("a.dtb", OVERLAP), "--sarif", "a.sarif")
    (run,) = json.loads(Path("a.sarif").read_text())["runs"]
    (result,) = run["results"]

    assert (status, "overlap" in out) == (1, True)
    assert (result["ruleId"], result["level"]) == ("overlap", "error")
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "overlap"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a.dtb"
    assert said(capsys, "check", "a.dtb", "--sarif", "-")[1].startswith("{")
    assert said(capsys, "check", "a.dtb", "--sarif", "no/such/directory")[0] == 1


def test_against_the_shipped_tree(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, moved = put("old.dtb", SHIPPED), put("new.dtb", SHIPPED.replace("80000000", "90000000"))

    assert said(capsys, "check", moved)[0] == 0
    status, out, _ = said(capsys, "check", moved, "--base", base)
    assert status == 1
    assert "[carve-out-moved]" in out
    assert said(capsys, "check", moved, "--base", base, "--moved", "tz@80000000")[0] == 0


def test_strict(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put("a.dtb", board("a@80000000 { reg = <0 0x80000000 0 0x400000>; reusable; };"))

    assert said(capsys, "check", file)[0] == 0
    assert said(capsys, "check", file, "--strict")[0] == 1


def test_overlays_are_applied_in_order(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, extra = put("a.dtb", SHIPPED), put("b.dtbo", OVERLAY)
    source = put("b.dtso", OVERLAY)

    for overlay in (extra, source):
        status, out, _ = said(capsys, "check", base, "--overlay", overlay)
        assert (status, "[overlap]" in out) == (1, True)


def test_an_overlay_for_a_base_without_symbols_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.dts").write_text(SHIPPED)
    subprocess.run(["dtc", "-q", "-O", "dtb", "-o", "a.dtb", "a.dts"], check=True)
    extra = put("b.dtbo", '/dts-v1/;\n/plugin/;\n&tz { status = "disabled"; };\n')

    status, out, err = said(capsys, "check", "a.dtb", "--overlay", extra)

    assert (status, out) == (1, "")
    assert err == (
        "memctl: b.dtbo can't be applied to a.dtb: the base has no __symbols__, so labels lead nowhere: compile it with dtc -@\n"
    )


def test_includes_are_found(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "inc").mkdir()
    (here / "inc/base.h").write_text("#define BASE 0x80000000\n")
    text = "#include <base.h>\n" + SHIPPED.replace("0x80000000 0", "BASE 0")
    put("a.dts", text)

    assert said(capsys, "check", "a.dts", "-I", "inc")[0] == 0
    status, _, err = said(capsys, "check", "a.dts")
    assert (status, err.count("\n"), "base.h" in err) == (1, 1, True)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--ram", "1G@0x40000000"), "outside-ram"),
        (("--cma", "64M@0x80000000"), "cma-argument"),
        (("--cma", "6M", "--pageblock", "4M"), "cma-argument-size"),
    ],
)
def test_what_no_tree_tells(
    options: tuple[str, ...], rule: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = put("a.dtb", SHIPPED)

    assert f"[{rule}]" in said(capsys, "check", file, *options)[1]
    assert f"[{rule}]" not in said(capsys, "check", file)[1]


def test_a_boot_log_beside_a_tree(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("vendor.dtb").write_bytes(vendor())
    log = (
        (MAPS / "vendor.log")
        .read_text()
        .replace("0x0000000086100000..0x00000000888fffff", "0x0000000086200000..0x00000000889fffff")
    )
    Path("dmesg").write_text(log)

    status, out, _ = said(capsys, "check", "vendor.dtb", "--log", "dmesg")

    assert status == 0
    words = " ".join(out.split())
    assert (
        "adsp@86100000: device tree says 0x86100000..0x888fffff, boot log says 0x86200000..0x889fffff [difference]"
        in words
    )


@pytest.mark.parametrize(
    "argv",
    [
        ("--ram", "2"),
        ("--ram", "2G@x"),
        ("--ram", "0@0"),
        ("--pageblock", "3M"),
        ("--pageblock", "4"),
        ("--cma", "lots"),
        ("--kernel", "new"),
        ("--nonsense",),
    ],
)
def test_wrong_words_are_usage(argv: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(capsys, "check", *argv)

    assert (status, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["none.dtb", "none.dts", ".", "text.dtb", "text.dts"])
def test_a_bad_file_is_one_line(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.dtb").write_text("hello")
    Path("text.dts").write_text("hello")

    status, out, err = said(capsys, "check", name)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert name in err


def test_a_source_that_expands_for_ever_ends(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["#define a0 x x x x x x x x x x", *(f"#define a{n} {' '.join([f'a{n - 1}'] * 10)}" for n in range(1, 12))]
    Path("bomb.dts").write_text("\n".join([*lines, "a11"]))

    status, _, err = said(capsys, "check", "bomb.dts")

    assert (status, err.count("\n")) == (1, 1)


def test_a_source_that_includes_itself_ends(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("loop.dts").write_text('#include "loop.dts"\n')

    assert said(capsys, "check", "loop.dts")[0] == 1


def test_a_machine_without_compiler(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a.dts", SHIPPED)
    monkeypatch.setenv("PATH", str(here))

    status, _, err = said(capsys, "check", "a.dts")

    assert (status, "apt install cpp" in err) == (4, True)


def test_the_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "check", "--rules")

    assert status == 0
    assert all(f"{rule.name} (" in out for rule in RULES)
    assert {one["name"] for one in json.loads(said(capsys, "check", "--rules", "--json")[1])} == {
        rule.name for rule in RULES
    }


def test_the_map_as_a_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "--tree", str(MAPS / "vendor.dts"))

    assert status == 0
    assert "0x86100000        0x888fffff" in out
    assert json.loads(said(capsys, "--tree", str(MAPS / "vendor.dts"), "--json")[1])["board"] == "The vendor's page"
