"""memctl config check, without a daemon: findings with file and line, exit status, and a man page that knows every key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from memd import config
from memd.cli import exits
from memd.cli.main import main

TREE = Path(__file__).parents[2]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> object:
    def run(text: str, *words: str) -> tuple[int, str, str]:
        (tmp_path / "memd.conf").write_text(text)
        code = main(["config", "check", str(tmp_path / "memd.conf"), *words])
        out, err = capsys.readouterr()
        return code, out.replace(str(tmp_path), "DIR"), err

    return run


def test_fine(check) -> None:  # type: ignore[no-untyped-def]
    assert check("[Zram]\nSize=512M\n") == (exits.FINE, "the configuration is fine\n", "")
    assert check("[Zram]\nSize=512M\n", "--json") == (exits.FINE, "[]\n", "")


def test_findings_name_file_line_and_key(check) -> None:  # type: ignore[no-untyped-def]
    code, out, err = check("[Zram]\nSise=1G\n[Lending]\nMaxBytes=800\n")

    first, second = out.splitlines()
    assert code == exits.BAD_NEWS
    assert first.startswith("DIR/memd.conf:2: [Zram] Sise=: no such key")
    assert second.startswith("DIR/memd.conf:4: [Lending] MaxBytes=: '800' has no unit")
    assert err.startswith("memctl: 2 findings")


def test_json(check) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = check("[Zram]\nPriority=many\n", "--json")

    (finding,) = json.loads(out)
    assert code == exits.BAD_NEWS
    assert (finding["file"], finding["line"], finding["section"], finding["key"]) == (
        "DIR/memd.conf",
        2,
        "Zram",
        "Priority",
    )


def test_escapes(check) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = check("[Zram]\n\x1b[31mSize=1G\n")

    assert out.replace("\n", "").isprintable()


def test_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "check", str(tmp_path / "none.conf")]) == exits.BAD_NEWS
    assert "there is no such file" in capsys.readouterr().out


def test_man_page_knows_every_section_and_key() -> None:
    page = (TREE / "docs/man/memd.conf.5").read_text()
    keys = {key.name for section in config.SECTIONS for key in section.keys(1 << 30)}

    assert set(re.findall(r"^\.B (\w+)=", page, re.MULTILINE)) == keys
    assert all(section.title in page for section in config.SECTIONS)
