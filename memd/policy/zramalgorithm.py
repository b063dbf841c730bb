"""Compression algorithms as memd.conf writes them: `zstd(level=3, dict=/etc/memd/zstd.dict) lz4`. Pure, and on the early path.

Parameters are those of the kernel's algorithm_params (6.12): `level`, `dict`, and `deflate.winbits` where the kernel knows it.
"""

from __future__ import annotations

from memd.errors import MemdError

SECONDARY = 3  # the kernel has room for four: the first compresses, the others recompress
LONGEST_NAME = 63
EXAMPLE = "'zstd(level=3) lz4'"
NUMBERS = ("level", "deflate.winbits")


def parse(text: str) -> tuple[str, ...]:
    """A list in order of preference, each in its canonical form, without blanks. MemdError says what would be right."""
    return tuple(map(_canonical, _split(text)))


def name(algorithm: str) -> str:
    """`zstd` of `zstd(level=3)`."""
    return algorithm.partition("(")[0]


def parameters(algorithm: str) -> tuple[str, ...]:
    """(`level=3`,) of `zstd(level=3)`: words as the kernel takes them."""
    inside = algorithm.partition("(")[2].removesuffix(")")
    return tuple(inside.split(",")) if inside else ()


def _split(text: str) -> list[str]:
    """At blanks outside of parentheses."""
    words, word, depth = [], "", 0
    for character in f"{text} ":
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth not in (0, 1):
            raise MemdError(f"{text!r} has parentheses that do not match; write a list like {EXAMPLE}")
        if depth or not character.isspace():
            word += character
        elif word:
            words.append(word)
            word = ""
    if depth:
        raise MemdError(f"{text!r} has a parenthesis that is not closed; write a list like {EXAMPLE}")
    return words


def _canonical(word: str) -> str:
    found, opening, inside = word.partition("(")
    plain = found.replace("-", "").replace("_", "")
    if not (found.isascii() and plain.isalnum()) or len(found) > LONGEST_NAME or (opening and inside[-1:] != ")"):
        raise MemdError(f"{word!r} is no name of an algorithm; write a list in order of preference, as in {EXAMPLE}")
    given = [part.strip() for part in inside[:-1].split(",") if part.strip()]
    for part in given:
        _check(part, word)
    keys = [part.partition("=")[0] for part in given]
    if len(set(keys)) < len(keys):
        raise MemdError(f"{word!r} says a parameter twice; write one, as in 'zstd(level=3)'")
    return f"{found}({','.join(given)})" if given else found


def _check(parameter: str, word: str) -> None:
    key, _, value = parameter.partition("=")
    if key in NUMBERS:
        digits = value.removeprefix("-")
        good, example = digits.isascii() and digits.isdigit() and len(digits) < 7, f"{key}=3"
    elif key == "dict":
        good, example = (
            value.startswith("/") and value.isprintable() and " " not in value,
            "dict=/etc/memd/zstd.dict, an absolute path",
        )
    else:
        raise MemdError(
            f"{word!r}: no parameter {key!r}; there are level=, dict= and deflate.winbits=, as in zstd(level=3)"
        )
    if not good:
        raise MemdError(f"{word!r}: {key}={value!r} is no value; write {example}")
