from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.cli import render
from memd.cli.render import Line, Look

WIDE = Look(80, unicode=True)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (0.0, "░░░░░░░░░░"),
        (0.001, "█░░░░░░░░░"),
        (0.5, "█████░░░░░"),
        (0.999, "█████████░"),
        (1.0, "██████████"),
        (7.0, "██████████"),
    ],
)
def test_bar(fill: float, expected: str) -> None:
    assert render.bar(WIDE, fill, 10) == expected
    assert render.bar(Look(80), fill, 10) == expected.replace("█", "#").replace("░", ".")


def test_bar_has_the_colour_of_its_fill() -> None:
    look = Look(80, colour=True)

    assert [render.bar(look, fill, 4)[:5] for fill in (0.5, 0.8, 0.95)] == ["\x1b[32m", "\x1b[33m", "\x1b[31m"]


@given(st.text(), st.integers(1, 60))
def test_wrap_keeps_every_word_within_the_width(text: str, width: int) -> None:
    lines = render.wrap(text, width)

    assert all(0 < len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text.split()).replace(" ", "")


@given(
    st.lists(st.tuples(st.text("ab ", max_size=40), st.text("xy ", max_size=200), st.none() | st.floats(0, 1))),
    st.integers(20, 200),
)
def test_picture_honours_the_width(lines: list[tuple[str, str, float | None]], width: int) -> None:
    text = render.picture(Look(width), [Line(label, words, fill) for label, words, fill in lines])

    assert all(len(line) <= width for line in text.splitlines())


@given(st.lists(st.tuples(*[st.text("abc", max_size=60)] * 3), min_size=1), st.integers(30, 200))
def test_table_honours_the_width(rows: list[tuple[str, str, str]], width: int) -> None:
    text = render.table(Look(width), ("ONE", "TWO", "THREE"), rows)

    assert all(len(line) <= width for line in text.splitlines())
    assert len(text.splitlines()) == len(rows) + 1


def test_table_without_a_terminal_is_not_cut() -> None:
    assert "x" * 500 in render.table(Look(None), ("A", "B"), [("x" * 500, "y")])


@given(st.text())
def test_safe_is_printable(text: str) -> None:
    assert render.safe(text).isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain µ", "plain µ"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\0", "a\\nb\\x00"),
        ("\u202e", "\\u202e"),
        ("\udcff", "\\udcff"),
    ],
)
def test_safe(text: str, expected: str) -> None:
    assert render.safe(text) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "en_GB.utf8"}, True),
        ({}, False),
        ({"LC_CTYPE": "C.UTF-8"}, False),  # which Python itself set (PEP 538)
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
    ],
)
def test_bars_follow_the_locale(environment: dict[str, str], expected: bool) -> None:
    assert render.look(Terminal(), environment).unicode is expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colour(environment: dict[str, str], expected: bool) -> None:
    assert render.look(Terminal(), environment).colour is expected
    assert render.look(io.StringIO(), environment).colour is False


@pytest.mark.parametrize(("columns", "expected"), [("100", 100), ("3", 20), ("0", None), ("x", None), ("", None)])
def test_columns(columns: str, expected: int | None) -> None:
    assert render.look(io.StringIO(), {"COLUMNS": columns}).width == expected


@pytest.mark.parametrize(("columns", "expected"), [(97, 97), (3, 20), (0, None)])
def test_width_of_a_real_terminal(columns: int, expected: int | None) -> None:
    import fcntl
    import struct
    import termios

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(master), os.fdopen(slave, "w") as terminal:
        assert render.look(terminal, {}).width == expected
