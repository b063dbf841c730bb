"""memctl monitor and pressure --history: pictures from what was told, and the journal's entries that count."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pytest

from memd.cli import history, monitor
from memd.cli.history import Change
from memd.cli.main import main
from memd.cli.render import Look
from memd.cli.spark import spark
from memd.errors import Failed
from tests.cli.machines import BARE, BOARD

M = 1 << 20
WHOSE = "CMA area \\x1b had no room for 8M, asked for by a\\nb (process 7)"


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([0, 1, 2, 4, 7, 8], 6, "▁▂▃▅██"),
        ([1, 2], 4, "  ▂▃"),
        ([8, None, 8], 3, "█ █"),
        ([1, 8, 8], 2, "██"),
        ([], 3, "   "),
        ([0, 0], 2, "▁▁"),
        ([99], 1, "█"),
    ],
)
def test_spark(values: list[float | None], width: int, drawn: str) -> None:
    assert spark(values, width, unicode=True, top=8) == drawn
    assert spark(values, width, unicode=False, top=8).isascii()


def test_picture() -> None:
    picture = monitor.Picture()
    picture.take(BARE)
    picture.take(BOARD)

    lines = picture.text(Look(60)).splitlines()

    assert lines[0] == "memory pressure is medium"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "RAM used", "lent", "stalled, some", "stalled, full", "swap filled", "CMA reserved", "CMA adsp",
    ]  # fmt: skip
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].endswith("2.8G of 4G")


def test_a_picture_keeps_only_so_much() -> None:
    picture = monitor.Picture()
    for _ in range(monitor.KEPT + 10):
        picture.take(BOARD)

    assert {len(values) for values, _, _ in picture._rows.values()} == {monitor.KEPT}


@pytest.mark.parametrize(
    ("name", "facts", "words"),
    [
        ("PressureChanged", {"level": "medium", "previous": "low"}, "pressure is medium, was low"),
        ("UnitPressureChanged", {"unit": "a.service", "level": "low", "previous": "none"}, "pressure of a.service is low, was none"),
        ("CmaStateChanged", {"region": "r", "state": "nearly-full"}, "CMA area r is nearly full"),
        ("CmaAllocationFailed", {"region": "r", "pages": 3, "size": 8 * M}, "CMA area r had no room for 8M"),
        ("CmaAllocationFailed", {"region": "\x1b", "size": 8 * M, "comm": "a\nb", "pid": 7}, WHOSE),
    ],
)  # fmt: skip
def test_lines(name: str, facts: dict[str, Any], words: str) -> None:
    assert monitor.line(name, facts, 0.0, Look(None)).partition("  ")[2] == words


@pytest.mark.parametrize("interval", ["0.1s", "2h", "5"])
def test_an_interval_out_of_range_is_usage(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "--interval", interval]) == 2


def entry(at: float, level: str, previous: str) -> dict[str, Any]:
    when = dt.datetime.fromtimestamp(at, dt.UTC)
    return {"MEMD_LEVEL": level, "MEMD_PREVIOUS": previous, "__REALTIME_TIMESTAMP": when}


class Reader:
    """The journal's."""

    def __init__(self, entries: list[dict[str, Any]], trouble: OSError | None = None) -> None:
        self.entries, self.trouble = entries, trouble
        self.matches: list[str] = []
        self.since = 0.0

    def __enter__(self) -> Reader:
        if self.trouble:
            raise self.trouble
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.entries)

    def add_match(self, match: str) -> None:
        self.matches.append(match)

    def seek_realtime(self, since: float) -> None:
        self.since = since


def test_only_roots_entries_of_memds_own_unit_count() -> None:
    reader = Reader([entry(50, "low", "none"), entry(150, "low", "none"), entry(160, "strange", "low"), {}])
    found = history.read(100, lambda: reader)

    assert found == [Change(150, "low", "none")]
    assert reader.matches[1:] == ["_SYSTEMD_UNIT=memd.service", "_UID=0"]
    assert reader.matches[0].startswith("MESSAGE_ID=")


def test_a_journal_that_cannot_be_read() -> None:
    with pytest.raises(Failed, match="become a member of group systemd-journal"):
        history.read(0, lambda: Reader([], PermissionError(13, "Permission denied")))


CHANGES = [
    Change(25, "low", "none"),
    Change(26, "critical", "low"),
    Change(55, "low", "critical"),
    Change(75, "none", "low"),
]


def test_cells_show_the_highest() -> None:
    assert history.cells(CHANGES, 0, 100, 10) == [0, 0, 3, 3, 3, 3, 1, 1, 0, 0]
    assert history.cells([], 0, 100, 4) == [0, 0, 0, 0]
    assert history.cells([Change(50, "none", "medium")], 0, 100, 4) == [2, 2, 2, 0]


def test_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()

    assert history.text(CHANGES, 0, 100, Look(42, unicode=True)) == (
        "▁▁▁▁▁▁▁▁▁▁█████████████▃▃▃▃▃▃▃▃▁▁▁▁▁▁▁▁▁\n"
        "1970-01-01 00:00        1970-01-01 00:01\n"
        "none 50s, low 21s, critical 29s; 4 changes\n"
    )
    assert history.text([], 0, 100, Look(20)).isascii()


@pytest.mark.parametrize("words", [["--history", "5s"], ["--history", "2h", "--follow"], ["--history", "900d"]])
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pressure", *words]) == 2
    assert "--history takes a time" in capsys.readouterr().err
