"""memctl config import: the machine's files, or one by name; what is printed, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.cli import configimport, exits, main
from memd.errors import NotSupported
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


def test_the_machines_own(root: Root, put: Put) -> None:
    put("etc/default/zram", "FACTOR=40\n")
    assert dict(configimport.of_machine(root).sections[0][1])["Size"] == "40%"
    put("etc/default/zramswap", "PERCENT=30\n")
    assert dict(configimport.of_machine(root).sections[0][1])["Size"] == "30%"
    put("usr/lib/systemd/zram-generator.conf", "[zram0]\nzram-size = ram / 5\n")
    assert dict(configimport.of_machine(root).sections[0][1])["Size"] == "ram / 5"


def test_a_machine_with_none(root: Root) -> None:
    with pytest.raises(NotSupported, match="nothing to import"):
        configimport.of_machine(root)


def test_a_file_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "zramswap"
    file.write_text("ALGO=lz4\nSIZE=512\n")

    assert main.main(["config", "import", str(file)]) == exits.FINE
    out, err = capsys.readouterr()
    assert "[Zram]\nSize=512M\nAlgorithms=lz4\n" in out
    assert err == ""


def test_what_is_not_the_same_is_bad_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my.conf"
    file.write_text("[zram0]\nmount-point = /tmp\n")

    assert main.main(["config", "import", str(file), "--json"]) == exits.BAD_NEWS
    found = json.loads(capsys.readouterr().out)
    assert found["sections"] == [{"section": "Zram", "keys": {"Enabled": "no"}}]
    assert len(found["cannot"]) == 1
    assert main.main(["config", "import", str(file)]) == exits.BAD_NEWS
    assert "1 thing memd does not do the same" in capsys.readouterr().err


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"x" * (2 << 20))]
)
def test_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object]) -> None:
    make(tmp_path / "x.conf")

    assert main.main(["config", "import", str(tmp_path / "x.conf")]) == exits.USAGE
    assert capsys.readouterr().out == ""
