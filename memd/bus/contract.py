"""What the XML in dbus/ says, as a table: every call is held against it before its body is looked at.

`xml` beside this file is dbus/ (a link in the source tree): what is published, what Introspect answers and what is checked are one text.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from memd.bus.library import Library, load
from memd.bus.standard import STANDARD_XML
from memd.early import Noun
from memd.errors import InvalidArgs

DIRECTORY = Path(__file__).with_name("xml")


class Method(Noun):
    """`takes` and `gives`: (name, type) of each argument."""

    interface: str
    name: str
    takes: tuple[tuple[str, str], ...]
    gives: tuple[tuple[str, str], ...]

    @property
    def signature(self) -> str:
        return "".join(kind for _, kind in self.takes)

    @property
    def reply(self) -> str:
        return "".join(kind for _, kind in self.gives)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{kind} {name}' for name, kind in self.takes)})"


class Interface(Noun):
    """`properties` and `signals`: name to type; `text`: the XML element as published."""

    name: str
    text: str
    methods: Mapping[str, Method]
    properties: Mapping[str, str]
    signals: Mapping[str, str]


class Contract:
    """Interfaces by name, in the order of the files."""

    def __init__(self, library: Library, texts: Iterable[str]) -> None:
        self._library, self._texts = library, texts

    @functools.cached_property
    def interfaces(self) -> dict[str, Interface]:
        """Parsed when somebody first asks: nothing of it is needed to own a name."""
        parsed = ((one, text) for text in self._texts for one in self._library.interfaces(text))
        return {one.name: _interface(one, text) for one, text in parsed}

    @functools.cached_property
    def _members(self) -> dict[str, list[Method]]:
        members: dict[str, list[Method]] = {}
        for interface in self.interfaces.values():
            for method in interface.methods.values():
                members.setdefault(method.name, []).append(method)
        return members

    def method(self, interface: str, member: str, signature: str) -> Method | None:
        """The method that is called; an empty `interface` means any, as D-Bus allows. None: there is none of that name.

        InvalidArgs, saying what it takes, for arguments of other types or another number of them."""
        named = [one for one in self._members.get(member, ()) if interface in (one.interface, "")]
        fitting = [one for one in named if one.signature == signature]
        if named and not fitting:
            raise InvalidArgs(f"{named[0]} was called with ({signature[:80]})")
        return fitting[0] if fitting else None


def _interface(parsed: Any, text: str) -> Interface:
    begin = text.index(f'<interface name="{parsed.name}"')
    return Interface(
        parsed.name,
        text[begin : text.index("</interface>", begin) + len("</interface>")],
        {one.name: Method(parsed.name, one.name, _args(one.in_args), _args(one.out_args)) for one in parsed.methods},
        {one.name: one.signature for one in parsed.properties},
        {one.name: one.signature for one in parsed.signals},
    )


def _args(arguments: Iterable[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((argument.name, argument.signature) for argument in arguments)


@functools.cache
def read() -> Contract:
    """The contract as published, with D-Bus' own interfaces."""
    texts = [path.read_text("utf-8") for path in sorted(DIRECTORY.glob("org.*.xml"))]
    return Contract(load(), [STANDARD_XML, *texts])
