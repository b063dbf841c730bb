"""Size=: tables of what is right and what is wrong, and properties: no text crashes, no size is out of bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.errors import InvalidArgs
from memd.policy import zramexpr, zramsize
from memd.units import format_size, parse_size

K, M, G, T = 1 << 10, 1 << 20, 1 << 30, 1 << 40
PAGE = 4096
DOCS = Path(__file__).parents[2] / "docs/zram.md"
CURVE = {
    "256M": "256M",
    "512M": "512M",
    "1G": "1G",
    "2G": "2G",
    "3G": "2.5G",
    "4G": "3G",
    "6G": "4G",
    "8G": "5G",
    "12G": "7G",
    "14G": "8G",
    "16G": "8G",
    "32G": "8G",
}


@pytest.mark.parametrize(("ram", "expected"), CURVE.items())
def test_default_curve(ram: str, expected: str) -> None:
    assert zramsize.size(None, parse_size(ram), PAGE) == parse_size(expected)


def test_the_document_prints_the_curve() -> None:
    rows = [f"| {ram} | {format_size(zramsize.size(None, parse_size(ram), PAGE))} |" for ram in CURVE]
    text = DOCS.read_text()

    assert "\n".join(rows) in text
    assert zramsize.DEFAULT in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("0M", 0),
        ("512M", 512 * M),
        ("512 M", 512 * M),
        ("1.5GiB", 1536 * M),
        ("1048576B", M),
        ("512m", 512 * M),
        ("ram", 4 * G),
        ("ram / 2", 2 * G),
        ("0.5 * ram", 2 * G),
        ("ram*2^-2", G),
        ("ram * -2 ^ 2 * -1 / 16", G),
        ("2 ^ 3 ^ 0 * 1G", 2 * G),
        ("1G + 2G * 2 - 512M", 4 * G + 512 * M),
        ("(1G + 2G) * 2", 6 * G),
        ("8G / 2 / 2", 2 * G),
        ("8G - 2G - 1G", 5 * G),
        ("-(-1G)", G),
        ("+1G", G),
        ("min(ram, 2G)", 2 * G),
        ("min(ram / 2, 3G, 1G)", G),
        ("max(ram - 8G, 0)", 0),
        ("max(0, ram - 3G)", G),
        ("max(1G)", G),
        ("ceil(ram / 3G) * 256M", 512 * M),
        ("floor(ram / 3G) * 256M", 256 * M),
        ("round(ram / 3G) * 256M", 256 * M),
        ("round(1.5) * 1G", 2 * G),
        ("abs(1G - ram)", 3 * G),
        ("ram % 3G", G),
        ("7 % 4 * 1G", 3 * G),
        ("50%", 2 * G),
        ("50 %", 2 * G),
        ("12.5% + 512M", G),
        ("50% - 1G", G),
        ("min(50%, 1G)", G),
        ("150%", 6 * G),
        ("5000001B", 5000001 // PAGE * PAGE),
        ("ram / 3", 4 * G // 3 // PAGE * PAGE),
    ],
)
def test_right(text: str, expected: int) -> None:
    assert zramsize.size(text, 4 * G, PAGE) == expected


@pytest.mark.parametrize("page", [4 * K, 16 * K, 64 * K])
def test_whole_pages(page: int) -> None:
    assert zramsize.size("1000001B * 5", 4 * G, page) == 5000005 // page * page


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 0, "nothing there"),
        ("  ", 2, "nothing there"),
        ("512", 0, "write 512M"),
        ("0.5", 0, "write 0.5M"),
        ("4096000", 0, "write 4096000M"),
        ("2 * 3", 2, "without a unit"),
        ("ram / 1G", 4, "without a unit"),
        ("min(ram, 4096)", 9, "4096 has no unit, beside a size; write 4096M"),
        ("min(4096, ram)", 4, "write 4096M"),
        ("ram + 512", 6, "write 512M"),
        ("ram - ram / 1G", 4, "a size and a number"),
        ("50% ram", 2, "written 50%"),
        ("ram * ram", 4, "a size times a size"),
        ("50% * ram", 4, "0.5 is a number"),
        ("2 / ram", 2, "/ wants a number"),
        ("0 / ram", 2, "/ wants a number"),
        ("ram ^ 2", 4, "^ wants a number"),
        ("2 ^ ram", 2, "^ wants a number"),
        ("512MB", 3, "no unit 'MB'"),
        ("1e3M", 1, "no unit 'e'"),
        ("1..5G", 0, "'1..5' is no number"),
        (".", 0, "is no number"),
        ("mem / 2", 0, "no name 'mem'"),
        ("RAM / 2", 0, "no name 'RAM'"),
        ("log(ram)", 0, "no name 'log'"),
        ("ram 2", 4, "'2' is not expected"),
        ("ram)", 3, "')' is not expected"),
        ("(ram", 4, "')' is missing"),
        ("min ram", 4, "'(' is missing"),
        ("min(ram,", 8, "too early"),
        ("min()", 4, "missing before ')'"),
        ("floor(ram, 1G)", 0, "takes one value"),
        ("ram *", 5, "too early"),
        ("* ram", 0, "missing before '*'"),
        ("ram; rm", 3, "';' is not expected"),
        ("ram\x00", 3, "is not expected"),
        ("\u0661G", 0, "missing before"),
        ("(" * 33 + "ram" + ")" * 33, 32, "32 deep"),
        ("-" * 40 + "ram", 32, "32 deep"),
        ("2^" * 40 + "2 * ram", 64, "32 deep"),
        ("ram" + " " * 300, 300, "longer than 300"),
    ],
)
def test_wrong_on_every_machine(text: str, position: int, words: str) -> None:
    with pytest.raises(zramexpr.BadExpression) as caught:
        zramsize.check(text)

    assert words in str(caught.value)
    assert caught.value.position == position
    assert isinstance(caught.value, InvalidArgs)
    with pytest.raises(zramexpr.BadExpression):
        zramsize.size(text, 4 * G, PAGE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ram / 0", "division by zero"),
        ("ram % 0", "division by zero"),
        ("0 ^ -1 * ram", "division by zero"),
        ("ram * 9 ^ 9 ^ 9", "beyond all bounds"),
        ("1T * 1000000 ^ 4", "beyond all bounds"),
        ("ram * 9 ^ 9 ^ 9 ^ 9 ^ 9 ^ 9", "beyond all bounds"),
        ("(-8) ^ 0.5 * ram", "root of a negative"),
        ("-512M", "less than nothing"),
        ("512K", "512K is less than 1M; 0 means no zram"),
        ("1B", "less than 1M"),
        ("ram * 9", "more than 8 times the RAM"),
        ("90000000T", "more than 8 times the RAM"),
    ],
)
def test_no_value_on_any_machine(text: str, words: str) -> None:
    with pytest.raises(zramexpr.BadValue) as of_size:
        zramsize.size(text, 4 * G, PAGE)
    with pytest.raises(zramexpr.BadValue) as of_check:
        zramsize.check(text)

    assert words in str(of_size.value)
    assert words.partition("the RAM")[0] in str(of_check.value)


@pytest.mark.parametrize("text", ["ram - 2G", "64G", "ram / max(ram - 1G, 0) * 1G"])
def test_wrong_on_a_small_machine_only(text: str) -> None:
    zramsize.check(text)

    assert zramsize.size(text, 64 * G, PAGE)
    with pytest.raises(zramexpr.BadValue):
        zramsize.size(text, G, PAGE)


def test_a_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(zramexpr.BadExpression) as caught:
        zramsize.check("ram + " * 10000)
    assert len(str(caught.value)) < 200


def test_a_large_size_is_noted() -> None:
    assert zramsize.note(2 * G, G) is None
    assert "3G is more than twice the RAM of 1G" in str(zramsize.note(3 * G, G))


RAM = st.integers(min_value=1 * M, max_value=64 * T)
WORDS = "ram min( max( floor( ceil( round( abs( ( ) , + - * / % ^ 0 1 2 0.5 9 1e9 512M 1.5G 8T 50% 1K . x"
PIECES = st.sampled_from([*WORDS.split(), " "])


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=80), RAM)
def test_no_text_crashes(text: str, ram: int) -> None:
    try:
        size = zramsize.size(text, ram, PAGE)
    except InvalidArgs as error:
        assert str(error)  # noqa: PT017 - either this or a size
    else:
        assert size % PAGE == 0
        assert size == 0 or zramsize.LEAST <= size <= zramsize.MOST * ram


def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.tuples(parts, st.sampled_from("+-*/%^"), parts).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
    unary = st.tuples(st.sampled_from(["-", "floor", "ceil", "round", "abs"]), parts).map(lambda t: f"{t[0]}({t[1]})")
    return (
        binary
        | unary
        | st.tuples(st.sampled_from(["min", "max"]), parts, parts).map(lambda t: f"{t[0]}({t[1]}, {t[2]})")
    )


EXPRESSIONS = st.recursive(st.sampled_from(["ram", "0", "2", "0.5", "3G", "40M", "25%"]), joined, max_leaves=12)


@given(EXPRESSIONS, RAM)
def test_no_well_formed_expression_crashes(text: str, ram: int) -> None:
    test_no_text_crashes.hypothesis.inner_test(text, ram)  # type: ignore[attr-defined]


@given(RAM, RAM)
def test_the_curve_rises_and_stays_below_ram_and_cap(first: int, second: int) -> None:
    small, large = sorted((first, second))

    assert zramsize.size(None, small, PAGE) <= zramsize.size(None, large, PAGE) <= min(large, 8 * G)


@given(st.integers(1 << 20, 1 << 46), st.sampled_from([4096, 16384, 65536]))
def test_the_curve_is_what_the_reference_says(ram: int, page: int) -> None:
    assert zramsize.size(None, ram, page) == zramsize.size(zramsize.DEFAULT, ram, page)
