"""memctl zram: the lines below the table, and --watch."""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any

import pytest

from memd.cli import exits, main, zramshow
from memd.cli.render import Look
from memd.client.types import Status
from tests.cli.machines import BARE, BOARD

M = 1 << 20


def test_what_is_saved_counts_no_page_that_lies_on_the_flash() -> None:
    assert zramshow.saved(BOARD["zram"][0]) == (1024 - 100 - 284) * M


def test_a_device_that_costs_more_than_it_holds() -> None:
    board: Status = {**BOARD, "zram": [{**BOARD["zram"][0], "original": 0, "backed": 0}]}

    assert "zram0: costs 284M more than it holds" in zramshow.details(board, Look(None))


def test_an_older_kernel_tells_less() -> None:
    known: Any = {"device": "/dev/zram0", "original": 1024 * M, "mem_used": 284 * M, "same_pages": 812}
    board: Status = {**BOARD, "zram": [known], "maintenance": {"enabled": False}}

    assert zramshow.details(board, Look(None)) == "zram0: saves 740M of RAM, 812 pages same-filled\nmaintenance: off\n"


def test_a_machine_without_zram_has_nothing_below() -> None:
    assert zramshow.details(BARE, Look(80)) == ""


@pytest.mark.parametrize(
    ("kind", "words"), [("failed_reads", "FAILED: 2 reads"), ("failed_writes", "FAILED: 2 writes")]
)
def test_failures_are_loud(kind: str, words: str) -> None:
    failed: Any = {**BOARD["zram"][0], kind: 2}
    board: Status = {**BOARD, "zram": [failed]}

    assert words in zramshow.details(board, Look(None))


class Memd:
    def __init__(self, _address: str | None) -> None:
        self.looks = 0

    def __enter__(self) -> Memd:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def status(self) -> Status:
        self.looks += 1
        if self.looks > 3:
            raise KeyboardInterrupt
        return BOARD


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    monkeypatch.setattr("memd.client.Memd", Memd)
    return found


def test_watch_goes_on_until_interrupted(waits: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["zram", "--watch", "5s", "--json"]) == exits.INTERRUPTED

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["zram_state"] for line in lines] == ["active"] * 3
    assert waits == [5.0] * 3


def test_watch_clears_a_terminal_only(waits: list[float], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    main.main(["zram", "--watch"])
    assert "\x1b" not in capsys.readouterr().out

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal := Terminal())
        main.main(["zram", "--watch"])
    assert terminal.getvalue().count("\x1b[H\x1b[J") == 3
    assert waits == [2.0] * 6


def test_watch_has_a_least(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["zram", "--watch", "10ms"]) == exits.USAGE
    assert "not more often than" in capsys.readouterr().err
