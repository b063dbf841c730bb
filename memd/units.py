"""Units, in one place: bytes and seconds inside, `512M` and `100ms` outside. Pure, and light enough for the early path."""

from __future__ import annotations

from memd.errors import InvalidArgs

SUFFIXES = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
TIMES = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
MAX_SIZE = (1 << 63) - 1


def _split(text: str) -> tuple[str, str]:
    """`512M` -> ("512", "M")."""
    number = text.strip()
    end = len(number)
    while end and not (number[end - 1].isascii() and (number[end - 1].isdigit() or number[end - 1] == ".")):
        end -= 1
    return number[:end].strip(), number[end:].strip()


def _number(digits: str, text: str, example: str) -> float | int:
    whole, dot, fraction = digits.partition(".")
    good = whole.isascii() and whole.isdigit() and (not dot or (fraction.isascii() and fraction.isdigit()))
    if not good or len(digits) > 20:
        raise InvalidArgs(f"{text!r} is no number with a unit; write it like {example}")
    return float(digits) if dot else int(digits)


def parse_size(text: str) -> int:
    """Bytes of `512M`, `1.5G`, `4096B`; suffixes B K M G T are powers of 1024. A number alone is refused, `0` excepted."""
    digits, suffix = _split(text)
    if digits == "0" and not suffix:
        return 0
    if not suffix:
        raise InvalidArgs(f"{text!r} has no unit; write {text}M, or another of B K M G T")
    factor = SUFFIXES.get(suffix.upper().removesuffix("IB") or suffix)
    if factor is None:
        raise InvalidArgs(f"{text!r}: no unit {suffix!r}; use one of B K M G T, as in 512M")
    size = int(_number(digits, text, "512M") * factor)
    if size > MAX_SIZE:
        raise InvalidArgs(f"{text!r} is more than 2^63 bytes")
    return size


def parse_seconds(text: str) -> float:
    """Seconds of `100ms`, `2s`, `10min`; units us ms s min h d. A number alone is refused, `0` excepted."""
    digits, unit = _split(text)
    if digits == "0" and not unit:
        return 0.0
    if unit not in TIMES:
        raise InvalidArgs(f"{text!r} has no unit of time; use one of us ms s min h d, as in 100ms")
    return float(_number(digits, text, "100ms")) * TIMES[unit]


def parse_percent(text: str) -> float:
    """The fraction 0..1 of `50%`."""
    digits, sign = _split(text)
    if sign != "%":
        raise InvalidArgs(f"{text!r} is no percentage; write it like 50%")
    value = float(_number(digits, text, "50%"))
    if value > 100:
        raise InvalidArgs(f"{text!r} is more than 100%")
    return value / 100


def format_size(size: int) -> str:
    """`512M`, `1.5G`: three digits at the most, exact where it is short."""
    value = float(size)
    for suffix in "BKMGT":
        if value < 999.5 or suffix == "T":
            break
        value /= 1024
    text = f"{value:.0f}" if value >= 99.5 or value == int(value) else f"{value:.1f}".removesuffix(".0")
    return text + suffix


def format_seconds(seconds: float) -> str:
    """`350ms`, `4.2s`, `3min`, `2h`, `5d`."""
    for unit, length, limit in (("ms", 1e-3, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 172800.0)):
        if seconds < limit:
            value = seconds / length
            return f"{value:.0f}{unit}" if value >= 10 or value == int(value) else f"{value:.1f}{unit}"
    return f"{seconds / 86400:.0f}d"
