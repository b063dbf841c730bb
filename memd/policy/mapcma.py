"""The `cma=` argument: read as the kernel's memparse and early_cma do (kernel/dma/contiguous.c, lib/cmdline.c)."""

from __future__ import annotations

import re

from memd.errors import InvalidArgs
from memd.model_map import CmaArgument

SUFFIXES = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
NUMBER = r"(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)([kmgtpe]?)"
ARGUMENT = re.compile(rf"{NUMBER}(?:@{NUMBER}(?:-{NUMBER})?)?", re.IGNORECASE)


def parse(text: str) -> CmaArgument:
    """`64M`, `64M@0x80000000`, `64M@0-4G`; numbers are decimal, octal or hexadecimal as C writes them. InvalidArgs otherwise."""
    found = ARGUMENT.fullmatch(text)
    if found is None:
        raise InvalidArgs(f"cma={text}: write it like cma=64M, cma=64M@0x80000000 or cma=64M@0-4G")
    size, base, end = (_number(found[at], found[at + 1]) for at in (1, 3, 5))
    if size is None or max(size, base or 0, end or 0) >= 1 << 64:
        raise InvalidArgs(f"cma={text}: a number is larger than 64 bits")
    return CmaArgument(text, size, base, end)


def from_command_line(line: str) -> CmaArgument | None:
    """The last cma= of a kernel command line, which is the one that counts; None where there is none, or one that makes no sense."""
    words = [word.removeprefix("cma=") for word in line.split() if word.startswith("cma=")]
    try:
        return parse(words[-1]) if words else None
    except InvalidArgs:
        return None


def _number(digits: str | None, suffix: str | None) -> int | None:
    if digits is None:
        return None
    octal = len(digits) > 1 and digits.isdigit() and digits.startswith("0")
    return int(digits, 8 if octal else 0) << SUFFIXES[(suffix or "").lower()]
