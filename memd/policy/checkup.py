"""What `memctl doctor` finds: one noun for all its findings, and how bad they are together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"
ORDER = (ERROR, WARNING, NOTE)


@dataclass(frozen=True, slots=True)
class Ailment:
    """`rule`: its name, for scripts; `severity`: ERROR (memd's work suffers), WARNING (part of it), NOTE (good to know);
    `what` is there, what it `costs`, and the line that `mend`s it, "" where nothing does."""

    rule: str
    severity: str
    what: str
    costs: str
    mend: str = ""


def ordered(found: Iterable[Ailment]) -> list[Ailment]:
    """The worst first; else in the order of the looks."""
    return sorted(found, key=lambda one: ORDER.index(one.severity))


def is_bad(found: Iterable[Ailment]) -> bool:
    """Whether doctor's answer is bad news."""
    return any(one.severity == ERROR for one in found)
