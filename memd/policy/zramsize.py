"""How large zram is: the default curve, `[Zram] Size=`, and the bounds of both. Pure; docs/zram.md prints the curve."""

from __future__ import annotations

from memd.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memd.policy.zramexpr import BadValue

DEFAULT = "min(min(ram, 2G) + max(ram - 2G, 0) / 2, 8G)"  # which is `curve`, so that the language is not loaded at every boot
G = 1 << 30
LEAST = 1 << 20  # less is a typo and no swap
MOST = 8  # times ram: the table of an empty device takes 0.39 % of its size at once, unswappable
SENSIBLE = 2  # times ram: more than this the kernel's document calls pointless
MACHINES = tuple(1 << power for power in range(27, 47))  # 128M to 64T of RAM


def size(text: str | None, ram: int, page: int) -> int:
    """The disksize in bytes, whole pages; 0 is no zram. `text` None is the default curve. BadExpression (an InvalidArgs) tells what
    is wrong and where; BadValue where only this machine's RAM makes it wrong."""
    if text is None:
        return _pages(curve(ram), page)
    from memd.policy.zramexpr import NUMBER, BadExpression, BadValue, evaluate, parse

    node = parse(text)
    if node.kind == NUMBER:
        example = f"{node.value:.15g}M, or another of B K M G T" if node.op == "" else "a size like ram / 2 or 512M"
        raise BadExpression(text, node.at, f"a number without a unit; write {example}")
    value = evaluate(text, node, ram)
    wrong = _wrong(value, ram)
    if wrong:
        raise BadValue(text, 0, wrong)
    return _pages(value, page)


def curve(ram: int) -> float:
    return min(min(ram, 2 * G) + max(ram - 2 * G, 0) / 2, 8 * G)


def _pages(value: float, page: int) -> int:
    return int(value) - int(value) % page


def _wrong(value: float, ram: int) -> str | None:
    if value < 0:
        return f"less than nothing ({format_size(int(-value))} below 0); max(..., 0) keeps it from that"
    if 0 < value < LEAST:
        return f"{format_size(int(value))} is less than {format_size(LEAST)}; 0 means no zram"
    if value > MOST * ram:
        return f"{_shown(value)} is more than {MOST} times the RAM of {format_size(ram)}; its table alone would fill the memory"
    return None


def _shown(value: float) -> str:
    return format_size(int(value)) if value < 1 << 60 else f"{value:.1g} bytes"


def check(text: str) -> None:
    """BadExpression if `text` is wrong on every machine; what is wrong on some only shows in `size`."""
    from memd.policy.zramexpr import BadValue

    found: BadValue | None = None
    for ram in MACHINES:
        try:
            size(text, ram, 4096)
        except BadValue as error:
            found = error
        else:
            return
    assert found
    raise found


def note(disksize: int, ram: int) -> str | None:
    """What is worth saying about a size that is allowed."""
    if disksize <= SENSIBLE * ram:
        return None
    return f"{format_size(disksize)} is more than twice the RAM of {format_size(ram)}; no compression is expected to fill it"
