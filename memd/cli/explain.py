"""memctl config --explain: which rule decides for somebody, and why. memd is asked, so that it is the one that decides."""

from __future__ import annotations

import argparse
import pwd

from memd import units
from memd.cli import common, exits
from memd.cli.render import safe
from memd.errors import InvalidArgs

USER = "uid:"


def run(arguments: argparse.Namespace) -> int:
    """FINE if the request would be granted."""
    who, heap, text = arguments.explain
    asked, size = somebody(who), units.parse_size(text)
    with common.connect(arguments) as memd:
        allowed, info = memd.can_allocate(heap, size, **asked)
    if arguments.json:
        common.print_json({"allowed": allowed, **asked, **info})
    else:
        what = f"{units.format_size(info['size'])} of heap {safe(info['heap'])}"
        print(f"{'yes' if allowed else 'no'}: {safe(who)} {'may' if allowed else 'may not'} have {what}")
        print(f"charged:  {safe(info['owner'])}")
        print(f"decides:  {safe(info['why'])}")
        print(f"because:  {safe(info['reason'])}")
    return exits.FINE if allowed else exits.BAD_NEWS


def somebody(word: str) -> dict[str, int]:
    """`uid` or `pid`: a number is a process, as in `ps`; `uid:1000` is what listings call an owner."""
    number = word.removeprefix(USER)
    if number.isascii() and number.isdigit() and len(number) <= 10:
        return {"pid" if number == word else "uid": int(number)}
    try:
        return {"uid": pwd.getpwnam(word).pw_uid}
    except (KeyError, ValueError):
        raise InvalidArgs(f"there is no user {word[:40]!a}; write a user's name, uid:NUMBER or a PID") from None
