"""Plain Python to a{sv} and back: a status or an info is nested dicts and lists inside, typed only at the wire.

bool is b, int t (x below zero), float d, str s; lists are as, at, ad or aa{sv} by what is in them, an empty one as; dict a{sv}.
None is left out: what a machine does not tell is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memd.bus.library import Library
from memd.bus.wire import printable
from memd.errors import InvalidArgs

Options = Mapping[str, Any]  # to Variants, as they came
MAX_UINT64 = (1 << 64) - 1  # what is more, such as 2^64 - 1 rounded up to pages, is told as this
_UNSIGNED = "yqut"
_SIGNED = "nix"


class Uint32(int):
    """An int that goes out as u."""


def dictionary(library: Library, values: Mapping[str, object]) -> dict[str, Any]:
    """For a{sv}."""
    return {printable(key): variant(library, value) for key, value in values.items() if value is not None}


def variant(library: Library, value: object) -> Any:
    if isinstance(value, library.Variant):
        return value
    return library.Variant(signature(value), plain(library, value))


def signature(value: object) -> str:
    """TypeError for what has no place on the wire."""
    if isinstance(value, Mapping):
        return "a{sv}"
    if isinstance(value, list | tuple):
        return "a" + (signature(value[0]) if value else "s")
    for kind, letter in ((bool, "b"), (Uint32, "u"), (float, "d"), (str, "s")):
        if isinstance(value, kind):
            return letter
    if isinstance(value, int):
        return "t" if value >= 0 else "x"
    raise TypeError(f"no D-Bus type for {value!r}")


def plain(library: Library, value: object) -> Any:
    """What the library marshals where the signature already says dict or list."""
    if isinstance(value, Mapping):
        return dictionary(library, value)
    if isinstance(value, list | tuple):
        return [plain(library, item) for item in value]
    if type(value) is int:
        return min(value, MAX_UINT64)
    return printable(value) if isinstance(value, str) else value


def options(given: Options, known: Mapping[str, str]) -> dict[str, Any]:
    """Options of a call as plain values. `known`: name to `s`, `t` or `b`; for t any unsigned or non-negative number will do.

    InvalidArgs that names the option, and what is known or wanted."""
    values = {}
    for key, value in given.items():
        if key not in known:
            names = ", ".join(sorted(known)) or "none"
            raise InvalidArgs(f"unknown option {key[:64]!a}; this method knows: {names}")
        values[key] = _option(key, value, known[key])
    return values


def _option(key: str, value: Any, wanted: str) -> Any:
    number = value.signature in _UNSIGNED or (value.signature in _SIGNED and value.value >= 0)
    if value.signature == wanted or (wanted == "t" and len(value.signature) == 1 and number):
        return value.value
    raise InvalidArgs(f"option {key!a} has type {value.signature[:32]}, and must have {wanted}")
