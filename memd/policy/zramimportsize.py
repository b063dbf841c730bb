"""zram-generator's size expressions, whose numbers are megabytes, as memd's, which have units.

A number gets an `M` where it is a size and none where it is a factor. Which is which, memd's own kinds tell: of all ways to give units, the
one with the fewest that makes the whole a size. Any that does has the same value.
"""

from __future__ import annotations

from itertools import combinations

from memd.errors import InvalidArgs
from memd.policy import zramexpr

DEFAULT = "min(ram / 2, 4096)"
MOST_NUMBERS = 10
SAME = {"int": "floor"}  # for sizes, which are above 0
DIGITS, LETTERS = "0123456789.", "abcdefghijklmnopqrstuvwxyz_"


def in_megabytes(text: str) -> str:
    """The expression with units. InvalidArgs says what memd can't do."""
    pieces = _pieces(text.lower())
    numbers = [index for index, piece in enumerate(pieces) if piece[:1] in DIGITS and piece]
    if len(numbers) > MOST_NUMBERS:
        raise InvalidArgs(f"more than {MOST_NUMBERS} numbers; write Size= yourself")
    error: Exception = InvalidArgs("memd makes no size of it")
    for count in range(len(numbers) + 1):
        for chosen in combinations(numbers, count):
            tried = "".join(f"{piece}M" if index in chosen else piece for index, piece in enumerate(pieces)).strip()
            try:
                node = zramexpr.parse(tried)
            except zramexpr.BadExpression as found:
                error = found if not count else error
                continue
            if node.kind == zramexpr.SIZE or _is_nothing(tried):
                return tried
    raise InvalidArgs(f"memd makes no size of it ({error})")


def _is_nothing(text: str) -> bool:
    return text.replace(".", "").strip("0 ") == "" and "0" in text


def _pieces(text: str) -> list[str]:
    """Numbers, words, and what is between."""
    pieces: list[str] = []
    last = None
    for character in text:
        kind = "number" if character in DIGITS else "word" if character in LETTERS else None
        if kind == "number" and last == "word":
            kind = "word"  # a variable like x2
        if kind and kind == last:
            pieces[-1] += character
        else:
            pieces.append(character)
        last = kind
    return [SAME.get(piece, piece) for piece in pieces]
