"""memctl map verify: whether the booted board has what a plan foretold; without memd."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from memd.cli import common, exits, mapplan
from memd.cli.render import Look, safe, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memd.policy.mapverify import Outcome

MARKS = {True: "right", False: "WRONG", None: "untold"}


def add(actions: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        actions,
        everywhere,
        run,
        "verify",
        help="compare the booted machine with a plan",
        example="memctl map verify plan.json\n\nExit status: 1 if something is not as planned.",
    )
    parser.add_argument("file", metavar="PLAN", help="plan.json, its directory, or - for standard input")
    parser.add_argument("--all", action="store_true", help="every region of the map, not only what the plan changes")


def run(arguments: argparse.Namespace) -> int:
    from memd.kernel import mapfacts
    from memd.kernel.root import Root
    from memd.policy import mapfile, mapverify

    plan = mapfile.decode(mapplan.load(arguments.file), arguments.file)
    outcomes = mapverify.compare(plan.expectation, mapfacts.read(Root("/")))
    if arguments.json:
        common.print_json({"wish": plan.wish, "outcomes": [_json(one) for one in outcomes]})
    else:
        changed = {one.name for one in plan.expectation.regions if one.changed}
        shown = [one for one in outcomes if arguments.all or one.right is False or one.subject in changed]
        print(text(plan.wish, outcomes, shown, common.look()), end="")
    return exits.BAD_NEWS if any(one.right is False for one in outcomes) else exits.FINE


def _json(one: Outcome) -> dict[str, object]:
    return {
        "subject": one.subject,
        "right": one.right,
        "expected": one.expected,
        "seen": one.seen,
        "source": str(one.source),
    }


def _line(one: Outcome, look: Look) -> str:
    """`WRONG    wpss@84900000: still there (device tree); planned: gone`"""
    head = look.paint(f"{MARKS[one.right]:9}", "red" if one.right is False else "")
    words = f"{one.subject}: {one.seen} ({one.source})" + ("" if one.right else f"; planned: {one.expected}")
    first, *rest = wrap(safe(words), max((look.width or 100) - 9, 30))
    return "".join(f"{row}\n" for row in (head + first, *(" " * 9 + row for row in rest)))


def text(wish: str, outcomes: Sequence[Outcome], shown: Sequence[Outcome], look: Look) -> str:
    """What is wrong in full, and a count of the rest."""
    lines = "".join(_line(one, look) for one in shown)
    wrong = sum(one.right is False for one in outcomes)
    untold = sum(one.right is None for one in outcomes)
    right = len(outcomes) - wrong - untold
    count = f"{safe(wish)}: {right} of {len(outcomes)} as planned"
    count += f", {wrong} not" if wrong else ""
    count += f", {untold} that this machine doesn't tell" if untold else ""
    return lines + look.paint(count, "red" if wrong else "green") + "\n"
