"""The cma= argument, as memparse and early_cma read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.errors import InvalidArgs
from memd.model_map import CmaArgument
from memd.policy.mapcma import from_command_line, parse

sizes = st.tuples(st.integers(0, 1 << 20), st.sampled_from(["", "K", "M", "G", "k", "m", "g"]))
BITS = {"": 0, "k": 10, "m": 20, "g": 30}


def value(size: tuple[int, str]) -> int:
    return size[0] << BITS[size[1].lower()]


@pytest.mark.parametrize(
    ("text", "size", "base", "end"),
    [
        ("64M", 64 << 20, None, None),
        ("0", 0, None, None),
        ("64M@0x80000000", 64 << 20, 0x80000000, None),
        ("64M@2G", 64 << 20, 2 << 30, None),
        ("64M@0-4G", 64 << 20, 0, 4 << 30),
        ("0x4000000", 64 << 20, None, None),
        ("0400", 256, None, None),
    ],
)
def test_what_the_kernels_document_writes(text: str, size: int, base: int | None, end: int | None) -> None:
    assert parse(text) == CmaArgument(text, size, base, end)


@given(sizes, st.none() | sizes, st.none() | sizes)
def test_numbers_come_back(size: tuple[int, str], base: tuple[int, str] | None, end: tuple[int, str] | None) -> None:
    parts = [f"{size[0]}{size[1]}"]
    if base is not None:
        parts.append(f"@{base[0]}{base[1]}")
        parts += [f"-{end[0]}{end[1]}"] if end is not None else []
    text = "".join(parts)
    told = None if base is None or end is None else value(end)

    assert parse(text) == CmaArgument(text, value(size), None if base is None else value(base), told)


@pytest.mark.parametrize(
    "text", ["", "M", "64MB", "64M@", "64M-4G", "64M@1G-", "-1", "64 M", "0x", "9" * 30, "16E@1", "099"]
)
def test_nonsense(text: str) -> None:
    with pytest.raises(InvalidArgs, match="cma="):
        parse(text)


def test_the_last_one_counts() -> None:
    assert from_command_line("cma=64M quiet cma=128M") == parse("128M")
    assert from_command_line("quiet mycma=3M") is None
    assert from_command_line("cma=64M cma=nonsense") is None
