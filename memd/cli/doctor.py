"""memctl doctor: what on this machine keeps memd from doing its work, what that costs, and the line that mends it. Works without memd."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import Look, safe, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memd.cli.render import Colour
    from memd.policy.checkup import Ailment

COLOURS: Mapping[str, Colour] = {"error": "red", "warning": "yellow", "note": ""}


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "doctor",
        help="look for what is wrong: kernel, devices, bus, units, configuration",
        example="memctl doctor\n         memctl doctor --all\n\n"
        "Each finding says what it costs and the line that mends it. As root it sees more. Exit status: 1 if memd's work suffers.",
    )
    parser.add_argument("--all", action="store_true", help="notes too: what is good to know and does no harm")


def run(arguments: argparse.Namespace) -> int:
    from memd.cli import doctor_looks
    from memd.policy import checkup

    found = checkup.ordered(doctor_looks.look(arguments.bus))
    if arguments.json:
        common.print_json([{name: getattr(one, name) for name in one.__slots__} for one in found])
    else:
        _tell(found, everything=arguments.all)
    return exits.BAD_NEWS if checkup.is_bad(found) else exits.FINE


def _tell(found: Sequence[Ailment], *, everything: bool) -> None:
    look = common.look()
    shown = [one for one in found if everything or one.severity != "note"]
    for one in shown:
        print(_words(one, look))
    left = len(found) - len(shown)
    more = f"; {common.plural(left, 'note')} with --all" if left else ""
    print(f"{common.plural(len(shown), 'finding')}{more}" if shown else f"nothing is wrong{more}")


def _words(one: Ailment, look: Look) -> str:
    """The line that mends is never wrapped: it is there to be copied."""
    head = look.paint(f"{one.severity}:", COLOURS[one.severity]) + f" {safe(one.what)} [{one.rule}]"
    costs = wrap(f"costs: {safe(one.costs)}", (look.width or 120) - 4)
    mend = [f"mend:  {safe(one.mend)}"] if one.mend else []
    return "\n".join([head, *(f"    {line}" for line in (*costs, *mend)), ""])
