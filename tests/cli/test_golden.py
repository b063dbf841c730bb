"""What memctl draws from recorded answers, to the letter. `python -m tests.cli.test_golden` writes the files anew; read the diff."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.cli import buffers, heaps, pressure, status, zram
from memd.cli.render import Look
from tests.cli.machines import BARE, BOARD, BUFFERS, HOSTILE

GOLDEN = Path(__file__).parent / "golden"
LOOKS = {
    "80": Look(80, unicode=True),
    "120": Look(120, unicode=True),
    "40-ascii": Look(40),
    "80-colour": Look(80, unicode=True, colour=True),
    "piped": Look(None),
}
DRAWINGS: dict[str, Callable[[Look], str]] = {
    "status-board": lambda look: status.text(BOARD, look),
    "status-bare": lambda look: status.text(BARE, look),
    "status-hostile": lambda look: status.text(HOSTILE, look),
    "heaps-board": lambda look: heaps.text(BOARD["heaps"], look),
    "heaps-hostile": lambda look: heaps.text(HOSTILE["heaps"], look),
    "heaps-none": lambda look: heaps.text([], look),
    "buffers": lambda look: buffers.text(BUFFERS, 1_003_600.0, look),
    "buffers-none": lambda look: buffers.text([], 0.0, look),
    "zram-board": lambda look: zram.text(BOARD, look),
    "zram-bare": lambda look: zram.text(BARE, look),
    "pressure": lambda look: pressure.text("medium", BOARD["pressure"], 0, look) + "\n",
}
CASES = [(drawing, look) for drawing in DRAWINGS for look in LOOKS]


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_golden(drawing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    drawn = {look: DRAWINGS[drawing](LOOKS[look]) for look in LOOKS}

    assert drawn == {look: (GOLDEN / f"{drawing}.{look}").read_text() for look in LOOKS}


def test_nothing_reaches_the_terminal_raw() -> None:
    lines = [line for drawing in DRAWINGS.values() for line in drawing(Look(80)).split("\n")]

    assert [line for line in lines if not line.isprintable()] == []


@pytest.mark.parametrize("look", ["40-ascii", "piped"])
def test_ascii_is_ascii(look: str) -> None:
    assert all(drawing(LOOKS[look]).isascii() for name, drawing in DRAWINGS.items())


def test_no_stray_golden_file() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {f"{drawing}.{look}" for drawing, look in CASES}


if __name__ == "__main__":
    for drawing, look in CASES:
        (GOLDEN / f"{drawing}.{look}").write_text(DRAWINGS[drawing](LOOKS[look]))
