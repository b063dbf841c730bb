"""The table of memd.conf: what a section and a key are, and how a section is read. On the early path: nothing heavy is imported.

The texts are the reference: docs/configuration.md and memd.conf(5) are made of them (`make docs`), and tests hold them together.
"""

from __future__ import annotations

from memd.early import Finding, Noun
from memd.errors import MemdError
from memd.ini import Ini, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Key(Noun):
    """One key: its `name`, the `field` that it fills, the parser of its text, and what the reference says of it.

    `parse` raises MemdError with what would be right. `what`: sentences, words of the file in backticks. `default`: as one would write it,
    "" where nothing set means something that `what` tells.
    """

    name: str
    field: str
    parse: Callable[[str], object]
    what: str
    default: str = ""


class Section(Noun):
    """[`name`], or [`name` NAME] where `named`. `keys`: given MemTotal in bytes. `instead`: what a wrong value costs."""

    name: str
    keys: Callable[[int], tuple[Key, ...]]
    what: str
    named: bool = False
    instead: str = "the default is taken"

    @property
    def title(self) -> str:
        return f"[{self.name} NAME]" if self.named else f"[{self.name}]"


def read(source: Ini, place: str, section: Section, total: int, findings: list[Finding]) -> dict[str, Any]:
    """The fields that the section called `place` ("Zram", "Allow camera") sets; what is wrong goes into `findings`."""
    keys = {key.name: key for key in section.keys(total)}
    values: dict[str, Any] = {}
    for name, value in source.sections.get(place, {}).items():
        if name not in keys:
            findings.append(unknown_key(place, name, value, tuple(keys)))
            continue
        try:
            values[keys[name].field] = keys[name].parse(value.text)
        except MemdError as error:
            findings.append(wrong_value(place, name, value, error, section.instead))
    return values


def places(source: Ini, section: Section) -> list[tuple[str, str]]:
    """(place, NAME) of each [SECTION NAME] in the files, in order of appearance."""
    parted = [(place, *place.partition(" ")[::2]) for place in source.sections]
    return [(place, name) for place, kind, name in parted if kind == section.name and name]


def unknown_key(section: str, key: str, value: Value, known: tuple[str, ...]) -> Finding:
    message = f"no such key; [{section}] knows {', '.join(known)}"
    return Finding(file=value.file, line=value.line, section=section, key=key, message=message, severity="warning")


def wrong_value(section: str, key: str, value: Value, error: Exception, instead: str) -> Finding:
    return Finding(file=value.file, line=value.line, section=section, key=key, message=f"{error}; {instead}")


def boolean(text: str) -> bool:
    """systemd's words for yes and no."""
    word = text.lower()
    if word in {"yes", "true", "on", "1"}:
        return True
    if word in {"no", "false", "off", "0"}:
        return False
    raise MemdError(f"{text!r} is neither yes nor no")
