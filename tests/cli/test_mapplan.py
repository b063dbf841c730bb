"""memctl map plan, verify and the pictures: files in, files out, without memd."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from memd.cli.main import main
from memd.kernel import devicetree
from memd.model_map import BootLog, MapFacts
from tests.trees import MAPS, board, compiled

VENDOR = str(MAPS / "vendor.dts")
SHIPPED = board(
    """camera_mem: camera@84300000 { reg = <0 0x84300000 0 0x500000>; no-map; };
       wpss_mem: wpss@84800000 { reg = <0 0x84800000 0 0x1900000>; no-map; };"""
)
RAM = ("--ram", "2G@0x80000000")
GROW = ("--grow", "camera", "--size", "6M", "--may-move", "wpss")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "board.dts").write_text(SHIPPED)
    (tmp_path / "shipped.dtb").write_bytes(compiled(SHIPPED))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(["map", *argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_plan_in_files_makes_a_board_that_check_accepts(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """Planned, patched, compiled, overlaid, checked against what was shipped: nobody's hand in it."""
    status, out, _ = said(capsys, "plan", "board.dts", *GROW, *RAM, "-o", "out")
    assert status == 0
    assert "moved wpss@84900000: from 0x84800000..0x860fffff to 0x84900000..0x861fffff" in out
    assert "nomap non-reusable wpss@84900000" in out
    assert sorted(path.name for path in (here / "out").iterdir()) == ["plan.dtso", "plan.json", "plan.patch"]

    subprocess.run(["patch", "-s", "-p1", "-i", "out/plan.patch"], check=True)
    arguments = ("check", "board.dts", "--overlay", "out/plan.dtso", "--base", "shipped.dtb", *RAM)
    assert said(capsys, *arguments)[0] == 1, "a carve-out that moved is an error"
    status, out, _ = said(capsys, *arguments, "--plan", "out/plan.json")
    assert (status, "carve-out-moved" in out) == (0, False)


def test_a_plan_as_json_is_the_file(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    _, out, _ = said(capsys, "plan", "board.dts", *GROW, *RAM, "-o", "out", "--json")

    told = json.loads(out)
    assert told == json.loads((here / "out" / "plan.json").read_text())
    assert told["wish"] == "--grow camera --size 6M --may-move wpss"
    assert list(told["files"]) == ["plan.patch", "plan.dtso"]
    assert [change["what"] for change in told["changes"]] == ["grown", "moved"]


def test_without_a_directory_the_files_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "plan", "shipped.dtb", "--heap", "my_cma", "--size", "20M", *RAM)

    assert status == 0
    assert "memory-region = <&my_cma_mem>;" in out
    assert "cma_heap_add(dev->cma_area, NULL)" in out
    assert "initialized node my_cma, compatible id shared-dma-pool" in out


def test_for_a_kernel_that_makes_heaps_itself(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "plan", "shipped.dtb", "--heap", "my_cma", "--size", "20M", *RAM, "--kernel", "7.2")

    assert "cma_heap_add" not in out


def test_no_room_is_bad_news(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, "plan", "board.dts", "--grow", "camera", "--size", "6M", *RAM)

    assert (status, out) == (1, "")
    assert "--may-move wpss@84800000 would make room" in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--size", "1M"), "one of the arguments --add --grow --move --heap --set-cma is required"),
        (("--add", "a", "--grow", "b"), "not allowed with argument"),
        (("--add", "a", "--size", "1M", "--at", "here"), "'here' is no address; write it like 0xd0800000"),
        (("--add", "a", "--size", "1M", "--within", "4G-2G"), "write it like 0x80000000-0xbfffffff or 2G-4G"),
        (("--grow", "nobody", "--size", "1M"), "there are: camera@84300000, wpss@84800000"),
        (("--set-cma", "lots"), "cma=lots: write it like cma=64M"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_wish_is_usage(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], words: str) -> None:
    status, _, err = said(capsys, "plan", "board.dts", *RAM, *argv)

    assert status == 2
    assert words in err


def test_a_cma_argument_says_what_it_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "plan", "board.dts", *RAM, "--set-cma", "64M@0-4G", "--cma", "32M")

    assert status == 0
    assert "it also overrides cma=32M" in out
    assert "cma=64M@0-4G goes on the kernel's command line" in out
    assert "cma: Reserved 64 MiB at 0x????????????????" in out


def test_pictures_are_written(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert said(capsys, "--tree", VENDOR, "--svg", "map.svg", "--html", "map.html")[0] == 0
    assert said(capsys, "plan", "board.dts", *GROW, *RAM, "--svg", "plan.svg", "--html", "plan.html")[0] == 0

    for name in ("map.svg", "plan.svg"):
        ET.parse(here / name)
    assert "adsp-heap" in (here / "map.html").read_text()
    assert "moved from 0x84800000" in (here / "plan.html").read_text()


def test_a_picture_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(capsys, "--tree", VENDOR, "--svg", "nowhere/map.svg")

    assert status == 1
    assert "nowhere/map.svg" in err


def test_the_bar_is_to_scale_and_the_table_has_the_gaps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    _, out, _ = said(capsys, "--tree", VENDOR, *RAM)

    bar = out.splitlines()[2]
    assert len(bar) == 100
    assert bar == bar.strip()
    assert bar[1:7].replace("#", "") == ""
    assert bar[62] == "#"
    assert bar[-2:] == "cc"
    assert "0x88900000        0xd07fffff  1151M  free RAM" in out
    assert "about 0xff000000  0xffbfffff    12M  CMA" in out


def test_a_narrow_terminal_still_has_its_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    _, out, _ = said(capsys, "--tree", VENDOR, *RAM)

    assert max(map(len, out.splitlines()[1:])) <= 70
    assert len(out.splitlines()[2]) == 24


def test_verify_of_a_machine_that_never_heard_of_the_plan(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = MapFacts(tree=devicetree.load("shipped.dtb"), log=BootLog(complete=True, tells_places=True))
    monkeypatch.setattr("memd.kernel.mapfacts.read", lambda _: facts)
    said(capsys, "plan", "board.dts", *GROW, *RAM, "-o", "out")

    status, out, _ = said(capsys, "verify", "out")
    assert status == 1
    assert "WRONG    wpss@84900000: not there: was the plan applied? (device tree)" in out
    assert out.splitlines()[-1] == "--grow camera --size 6M --may-move wpss: 0 of 4 as planned, 4 not"

    _, out, _ = said(capsys, "verify", "out", "--json")
    outcomes = json.loads(out)["outcomes"]
    assert [one["right"] for one in outcomes] == [False] * 4
    assert {one["source"] for one in outcomes} == {"device tree", "boot log"}


def test_verify_of_no_plan(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(capsys, "verify", "board.dts")

    assert status == 2
    assert "board.dts is no plan of memctl map plan" in err
