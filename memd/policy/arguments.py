"""What a caller may ask at all: each wrong argument has its sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from memd.errors import InvalidArgs, LimitsExceeded

MAX_MANY = 16  # fds in one message, by the buses' defaults
MAX_LABEL = 64
MAX_PAGE = 1000


def sizes(asked: Sequence[int], page: int, most: int = MAX_MANY) -> tuple[int, ...]:
    """Rounded up to pages. InvalidArgs for none or a 0, LimitsExceeded for more than `most`."""
    if not asked:
        raise InvalidArgs("no sizes: ask for at least one buffer")
    if len(asked) > most:
        raise LimitsExceeded(f"{len(asked)} buffers in one request; at most {most} fit in one reply")
    if min(asked) < 1:
        raise InvalidArgs("a buffer of 0 bytes is none; ask for at least 1")
    return tuple(-(-size // page) * page for size in asked)


def label(text: str) -> str:
    """Printable ASCII, since it is shown in listings and terminals. InvalidArgs otherwise."""
    if len(text) > MAX_LABEL:
        raise InvalidArgs(f"a name of {len(text)} characters; at most {MAX_LABEL}")
    if not (text.isascii() and text.isprintable()):
        raise InvalidArgs(f"name {text!a}: only printable ASCII characters can be shown in listings")
    return text


def limit(asked: int) -> int:
    """Buffers in one page of a listing."""
    if not 1 <= asked <= MAX_PAGE:
        raise InvalidArgs(f"limit {asked}: a page of a listing has from 1 to {MAX_PAGE} buffers")
    return asked
