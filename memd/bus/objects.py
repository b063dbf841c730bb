"""The objects below /org/memd1: what each one is, and where. An Object is as of one look at the machine; nothing is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from memd.early import EMPTY, Noun
from memd.names import ROOT_PATH


class Answer:
    """A method's reply: values as the XML orders them, `h` being an index into `fds`. Whoever holds the Answer owns the fds.
    `raw`: the body as bytes, for which the values only stand in (listing.py)."""

    __slots__ = ("fds", "raw", "values")

    def __init__(self, values: tuple[object, ...] = (), fds: Iterable[int] = (), raw: bytes = b"") -> None:
        self.values, self.fds, self.raw = values, list(fds), raw


# Called with the sender's unique name and the arguments.
Handler = Callable[..., Awaitable[Answer]]


class Object(Noun):
    """`interface`: org.memd1's; `properties`: plain values by name, without those that this machine does not tell."""

    interface: str
    properties: Mapping[str, object]
    methods: Mapping[str, Handler] = EMPTY


def known(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def encode(name: str) -> str:
    """One element of an object path, as sd_bus_path_encode(3) does it: all but letters and digits, and a leading digit, as _XX."""
    if not name:
        return "_"
    raw = name.encode("utf-8", "surrogateescape")
    return "".join(
        chr(byte)
        if chr(byte).isascii() and chr(byte).isalnum() and (index or not chr(byte).isdigit())
        else f"_{byte:02x}"
        for index, byte in enumerate(raw)
    )


def path(kind: str, name: str) -> str:
    """`/org/memd1/heap/linux_2ccma`."""
    return f"{ROOT_PATH}/{kind}/{encode(name)}"
