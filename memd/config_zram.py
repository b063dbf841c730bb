"""The [Zram] section, read before anything heavy is imported: on a device this decides when swap is on.

A typo never costs a device its swap: an unknown key is told and ignored, a wrong value is told and the default taken.
"""

from __future__ import annotations

from memd import config_keys
from memd.config_keys import Key, Section, boolean
from memd.early import Finding, ZramSettings
from memd.errors import MemdError
from memd.ini import Ini


def _size(text: str) -> str:
    from memd.policy import zramsize

    zramsize.check(text)
    return text


def _algorithms(text: str) -> tuple[str, ...]:
    names = tuple(text.split())
    for name in names:
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise MemdError(
                f"{name!r} is no name of an algorithm; write a list in order of preference, as in 'zstd lz4'"
            )
    return names


def _priority(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or not -1 <= int(text[:8]) <= 32767:
        raise MemdError(f"{text!r} is no swap priority; write a number from -1 (below all others) to 32767")
    return int(text)


def _keys(_total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Enabled",
            field="enabled",
            parse=boolean,
            what="Whether memd sets up zram swap. With `no` what swap there is stays as it is.",
            default="yes",
        ),
        Key(
            name="Size",
            field="size",
            parse=_size,
            what="The size of the device, before compression: arithmetic over `ram` (MemTotal less CmaTotal), sizes, shares of RAM such as"
            " `50%`, numbers as factors, `+ - * / % ^` and parentheses, `min()`, `max()`, `floor()`, `ceil()`, `round()`, `abs()`."
            " `0` means no zram. More than 8 times the RAM is an error.",
            default="min(min(ram, 2G) + max(ram - 2G, 0) / 2, 8G)",
        ),
        Key(
            name="Algorithms",
            field="algorithms",
            parse=_algorithms,
            what="Compression algorithms in order of preference; the first that this kernel offers is taken, and if it offers none of them,"
            " its own choice.",
            default="zstd lz4 lzo-rle lzo",
        ),
        Key(
            name="Priority",
            field="priority",
            parse=_priority,
            what="Priority of the swap, 0 to 32767; `-1` lets the kernel pick one below all others.",
            default="100",
        ),
        Key(
            name="Discard",
            field="discard",
            parse=boolean,
            what="Whether freed pages are given back to zram at once.",
            default="yes",
        ),
        Key(
            name="AllowInContainer",
            field="allow_in_container",
            parse=boolean,
            what="Whether to set up swap, which is the whole machine's, from within a container too.",
            default="no",
        ),
    )


SECTION = Section(
    name="Zram",
    keys=_keys,
    what="Read when swap is set up; a reload does not change swap that is on.",
)


def settings(ini: Ini) -> tuple[ZramSettings, list[Finding]]:
    """Always settings that work; what was wrong stands in the findings."""
    findings: list[Finding] = []
    values = config_keys.read(ini, SECTION.name, SECTION, 0, findings)
    return ZramSettings(**values), findings
