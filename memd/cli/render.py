"""Text for people: escapes, bars, tables, wrapped lines. Bytes and seconds come in; `512M` and `10min` go out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing import Literal

    Colour = Literal["", "green", "yellow", "red", "bold"]

CODES = {"green": "\x1b[32m", "yellow": "\x1b[33m", "red": "\x1b[31m", "bold": "\x1b[1m"}
NARROWEST = 20


class Look:
    """How to write: `width` in columns (None: a table is never cut), bars in `unicode` or ASCII, `colour` or none."""

    __slots__ = ("colour", "unicode", "width")

    def __init__(self, width: int | None = 80, *, unicode: bool = False, colour: bool = False) -> None:
        self.width, self.unicode, self.colour = width, unicode, colour

    def paint(self, text: str, colour: Colour) -> str:
        return f"{CODES[colour]}{text}\x1b[0m" if self.colour and colour and text else text


class Line:
    """One line of a picture: a label, a bar if `fill` (0..1) is known, and words."""

    __slots__ = ("colour", "fill", "label", "text")

    def __init__(self, label: str, text: str, fill: float | None = None, colour: Colour = "") -> None:
        self.label, self.text, self.fill, self.colour = label, text, fill, colour


def look(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Look:
    """Of the terminal behind `stream`; piped output has no colour, and as many columns as COLUMNS says."""
    terminal = stream.isatty()
    colour = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return Look(
        _columns(stream, environment), unicode=_unicode(getattr(stream, "encoding", None), environment), colour=colour
    )


def _columns(stream: TextIO, environment: Mapping[str, str]) -> int | None:
    if environment.get("COLUMNS", "").isdigit() and int(environment["COLUMNS"]):
        return max(int(environment["COLUMNS"]), NARROWEST)
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # no terminal; ValueError: no file at all
        return None
    return max(columns, NARROWEST) if columns else None  # a serial line does not know its width


def _unicode(encoding: str | None, environment: Mapping[str, str]) -> bool:
    """Whether the locale is one of UTF-8. Python makes the C locale UTF-8 by setting LC_CTYPE itself (PEP 538): that does not count."""
    language = environment.get("LANG", "")
    category = environment.get("LC_CTYPE", "")
    if category == "C.UTF-8" and language in ("", "C", "POSIX"):
        category = ""
    locale = environment.get("LC_ALL") or category or language
    return "utf8" in (encoding or "").lower().replace("-", "") and "utf8" in locale.lower().replace("-", "")


def safe(text: object) -> str:
    """What came over the bus, harmless to a terminal: control, format and direction characters are shown as escapes."""
    words = str(text)
    if words.isprintable():
        return words
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in words
    )


def bar(look: Look, fill: float, width: int) -> str:
    """`fill` 0..1 in `width` columns; anything above nothing shows, and only all is full."""
    full, empty = "█░" if look.unicode else "#."
    cells = min(max(round(fill * width), 1 if fill > 0 else 0), width if fill >= 1 else width - 1)
    colour: Colour = "green" if fill < 0.7 else "yellow" if fill < 0.9 else "red"
    return look.paint(full * cells, colour) + empty * (width - cells)


def picture(look: Look, lines: Sequence[Line]) -> str:
    """Labels, bars and words in three columns; words are wrapped below themselves."""
    width = look.width or 80
    label = min(max((len(line.label) for line in lines), default=0), width // 3)
    cells = 0 if width < 50 else min(width // 4, 30)
    return "".join(_picture_line(look, line, label, cells, width) for line in lines)


def _picture_line(look: Look, line: Line, label: int, cells: int, width: int) -> str:
    graph = bar(look, line.fill, cells) + "  " if line.fill is not None and cells else ""
    indent = label + 2 + (cells + 2 if graph else 0)
    head = f"{shorten(line.label, label, look):{label}}  {graph}"
    first, *rest = wrap(line.text, max(width - indent, NARROWEST // 2)) or [""]
    text = [head + look.paint(first, line.colour), *(" " * indent + look.paint(more, line.colour) for more in rest)]
    return "".join(f"{row.rstrip()}\n" for row in text)


def wrap(text: str, width: int) -> list[str]:
    """Words in lines of at most `width`; a longer word is broken. (textwrap costs more to import than all of this.)"""
    lines: list[str] = []
    current = ""
    for whole in text.split():
        word = whole
        if current and len(current) + 1 + len(word) <= width:
            current += " " + word
            continue
        lines += [current] if current else []
        while len(word) > width:
            lines.append(word[:width])
            word = word[width:]
        current = word
    return lines + ([current] if current else [])


def shorten(text: str, width: int, look: Look) -> str:
    """Cut to `width` columns, with a mark that it was."""
    if len(text) <= width:
        return text
    mark = "…" if look.unicode else "~"
    return text[: max(width - 1, 0)] + mark


def table(look: Look, heads: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """Columns as wide as needed; the columns named in `right` are aligned right. Too wide for the terminal: the widest is cut."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    while look.width and sum(widths) + 2 * (len(widths) - 1) > look.width and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    return "".join(
        _cells(look, row, widths, [head in right for head in heads], "bold" if row is heads else "")
        for row in (heads, *rows)
    )


def _cells(look: Look, row: Sequence[str], widths: Sequence[int], right: Sequence[bool], colour: Colour) -> str:
    cells = [
        f"{shorten(text, width, look):{'>' if end else '<'}{width}}"
        for text, width, end in zip(row, widths, right, strict=True)
    ]
    return look.paint("  ".join(cells).rstrip(), colour) + "\n"
