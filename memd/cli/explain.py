"""memctl config --explain: which rule decides for somebody, and why. memd is asked, so that it is the one that decides; where it does not
run, the same rules are asked here (explain_alone.py)."""

from __future__ import annotations

import argparse
import pwd
from typing import Any

from memd import units
from memd.cli import common, exits
from memd.cli.render import safe
from memd.errors import BadKernelFile, Failed, InvalidArgs

USER = "uid:"


def run(arguments: argparse.Namespace) -> int:
    """FINE if the request would be granted."""
    who, heap, text = arguments.explain
    asked, size = somebody(who), units.parse_size(text)
    allowed, info = _decision(arguments, heap, size, asked)
    if arguments.json:
        common.print_json({"allowed": allowed, **asked, **info})
    else:
        what = f"{units.format_size(info['size'])} of heap {safe(info['heap'])}"
        print(f"{'yes' if allowed else 'no'}: {safe(who)} {'may' if allowed else 'may not'} have {what}")
        print(f"charged:  {safe(info['owner'])}")
        print(f"decides:  {safe(info['why'])}")
        print(f"because:  {safe(info['reason'])}")
    if "without_memd" in info and not arguments.json:
        print("memd does not run: so it would be if it did now, and had lent nothing")
    return exits.FINE if allowed else exits.BAD_NEWS


def _decision(
    arguments: argparse.Namespace, heap: str, size: int, asked: dict[str, int]
) -> tuple[bool, dict[str, Any]]:
    from memd.client import Unreachable

    try:
        with common.connect(arguments) as memd:
            return memd.can_allocate(heap, size, **asked)
    except Unreachable:
        return _alone(heap, size, asked)


def _alone(heap: str, size: int, asked: dict[str, int]) -> tuple[bool, dict[str, Any]]:
    from memd.cli import explain_alone

    try:
        return explain_alone.decision(heap, size, uid=asked.get("uid"), pid=asked.get("pid"))
    except (OSError, BadKernelFile) as error:
        raise Failed(f"memd does not run, and this machine cannot be read: {error}") from error


def somebody(word: str) -> dict[str, int]:
    """`uid` or `pid`: a number is a process, as in `ps`; `uid:1000` is what listings call an owner."""
    number = word.removeprefix(USER)
    if number.isascii() and number.isdigit() and len(number) <= 10:
        return {"pid" if number == word else "uid": int(number)}
    try:
        return {"uid": pwd.getpwnam(word).pw_uid}
    except (KeyError, ValueError):
        raise InvalidArgs(f"there is no user {word[:40]!a}; write a user's name, uid:NUMBER or a PID") from None
