"""The [Zram] section, read before anything heavy is imported: on a device this decides when swap is on.

A typo never costs a device its swap: an unknown key is told and ignored, a wrong value is told and the default taken.
"""

from __future__ import annotations

from memd.early import Finding, ZramSettings
from memd.errors import MemdError
from memd.ini import Ini, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SECTION = "Zram"


def boolean(text: str) -> bool:
    """systemd's words for yes and no."""
    word = text.lower()
    if word in {"yes", "true", "on", "1"}:
        return True
    if word in {"no", "false", "off", "0"}:
        return False
    raise MemdError(f"{text!r} is neither yes nor no")


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


KEYS: dict[str, tuple[str, Callable[[str], object]]] = {
    "Enabled": ("enabled", boolean),
    "Size": ("size", _size),
    "Algorithms": ("algorithms", _algorithms),
    "Priority": ("priority", _priority),
    "Discard": ("discard", boolean),
    "AllowInContainer": ("allow_in_container", boolean),
}


def settings(ini: Ini) -> tuple[ZramSettings, list[Finding]]:
    """Always settings that work; what was wrong stands in the findings."""
    values: dict[str, object] = {}
    findings: list[Finding] = []
    for key, value in ini.sections.get(SECTION, {}).items():
        if key not in KEYS:
            findings.append(unknown_key(SECTION, key, value, tuple(KEYS)))
            continue
        field, parse = KEYS[key]
        try:
            values[field] = parse(value.text)
        except MemdError as error:
            findings.append(wrong_value(SECTION, key, value, error, "the default is taken"))
    return ZramSettings(**values), findings  # type: ignore[arg-type]  # each parser gives its field's type


def unknown_key(section: str, key: str, value: Value, known: tuple[str, ...]) -> Finding:
    message = f"no such key; [{section}] knows {', '.join(known)}"
    return Finding(file=value.file, line=value.line, section=section, key=key, message=message, severity="warning")


def wrong_value(section: str, key: str, value: Value, error: Exception, instead: str) -> Finding:
    return Finding(file=value.file, line=value.line, section=section, key=key, message=f"{error}; {instead}")
