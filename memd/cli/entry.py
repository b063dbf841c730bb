"""memctl's way in. `memctl status`, which people and scripts call most, goes without argparse and the other commands: they take as long to
import as all the rest.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import argparse


class Asked:
    """What argparse would make of a plain `memctl status`."""

    def __init__(self) -> None:
        self.bus: str | None = None
        self.json = False


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    asked = plain_status(words)
    if asked is None:
        from memd.cli import main as everything

        return everything.main(words)
    from memd.cli import guard, status

    return guard.run(lambda: status.run(cast("argparse.Namespace", asked)))


def plain_status(words: list[str]) -> Asked | None:
    """None for whatever has anything unusual in it: argparse has the words for that."""
    asked, rest, commands = Asked(), list(words), 0
    while rest:
        word = rest.pop(0)
        if word == "status":
            commands += 1
        elif word == "--json":
            asked.json = True
        elif word == "--bus" and rest and not rest[0].startswith("-"):
            asked.bus = rest.pop(0)
        else:
            return None
    return asked if commands == 1 else None
