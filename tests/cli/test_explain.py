"""memctl config --explain: whom it asks memd about, and what it tells."""

from __future__ import annotations

import json

import pytest

from memd.cli import exits
from tests.cli.conftest import Machine, Memctl


def test_yes(memctl: Memctl, machine: Machine) -> None:
    assert memctl("config", "--explain", "root", "contiguous", "16M") == (
        exits.FINE,
        "yes: root may have 16M of heap reserved\ncharged:  uid:7\ndecides:  no rule\\x1b\nbecause:  because\n",
        "",
    )
    assert machine.asked == {"uid": 0}


def test_no_is_bad_news(memctl: Memctl, machine: Machine) -> None:
    machine.allowed = False
    code, out, _ = memctl("config", "--explain", "uid:1000", "contiguous", "16M")

    assert code == exits.BAD_NEWS
    assert out.startswith("no: uid:1000 may not have 16M of heap reserved\n")


@pytest.mark.parametrize(("word", "asked"), [("77", {"pid": 77}), ("uid:77", {"uid": 77}), ("daemon", {"uid": 1})])
def test_whom(memctl: Memctl, machine: Machine, word: str, asked: dict[str, int]) -> None:
    code, out, _ = memctl("config", "--json", "--explain", word, "any", "4K")

    assert code == exits.FINE
    assert machine.asked == asked
    assert json.loads(out) == {
        "allowed": True, **asked, "heap": "reserved", "size": 4096, "owner": "uid:7", "why": "no rule\x1b", "reason": "because",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--explain", "nobody-of-that-name", "system", "1M"], "there is no user 'nobody-of-that-name'"),
        (["--explain", "uid:many", "system", "1M"], "there is no user 'uid:many'"),
        (["--explain", "99999999999", "system", "1M"], "there is no user"),
        (["--explain", "root", "system", "512"], "512M"),
        (["--explain", "root", "system"], "expected 3 arguments"),
        (["check", "--explain", "root", "system", "1M"], "say check, import or --explain"),
        ([], "say check, import or --explain"),
    ],
)
def test_usage(memctl: Memctl, words: list[str], error: str) -> None:
    code, out, err = memctl("config", *words)

    assert (code, out) == (exits.USAGE, "")
    assert error in err
