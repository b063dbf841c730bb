"""Units: what stands outside is what stands inside, and nonsense says what to write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd import units
from memd.errors import InvalidArgs


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 << 20),
        ("1.5G", 3 << 29),
        ("4096B", 4096),
        ("8k", 8192),
        ("0", 0),
        ("1GiB", 1 << 30),
        ("2 M", 2 << 20),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "512", "M", "-1M", "1X", "1e3M", "٣M", "9" * 30 + "M", "8388608T", "1..5G", ".M", "1_0M", "nanM"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(InvalidArgs):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("100ms", 0.1), ("2s", 2.0), ("10min", 600.0), ("1h", 3600.0), ("0", 0.0), ("50us", 5e-5)]
)
def test_seconds(text: str, seconds: float) -> None:
    assert units.parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 fortnight"])
def test_no_seconds(text: str) -> None:
    with pytest.raises(InvalidArgs):
        units.parse_seconds(text)


def test_percent() -> None:
    assert units.parse_percent("50%") == 0.5
    for text in ("50", "101%", "%", "-1%"):
        with pytest.raises(InvalidArgs):
            units.parse_percent(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (4096, "4K"), (1536 << 10, "1.5M"), (1 << 30, "1G"), (990 << 20, "990M"), (1023 << 20, "1G")],
)
def test_format(size: int, text: str) -> None:
    assert units.format_size(size) == text


@given(st.integers(0, 1 << 62))
def test_what_is_printed_is_near_and_can_be_read_back(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == pytest.approx(size, rel=0.06, abs=1)


@given(st.text())
def test_no_text_gives_anything_but_a_number_or_a_named_error(text: str) -> None:
    for parse in (units.parse_size, units.parse_seconds, units.parse_percent):
        try:
            value = parse(text)
        except InvalidArgs:
            continue
        assert value >= 0
