"""memctl pressure: the level now, and with --follow each change of it."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import Look, safe
from memd.cli.status import LEVEL_COLOURS, stalls
from memd.errors import InvalidArgs
from memd.units import format_size

if TYPE_CHECKING:
    from memd.client.types import PressureFacts


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "pressure",
        help="show the level of memory pressure, one line for each change",
        example="memctl pressure --follow --json",
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on: a line at each change, relief included, until interrupted"
    )

    parser.add_argument(
        "--history",
        metavar="TIME",
        nargs="?",
        const=86400.0,
        type=common.seconds,
        help="draw the last hours (24h) out of the journal; needs no memd",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.history is not None:
        if arguments.follow or not 60 <= arguments.history <= 366 * 86400:
            raise InvalidArgs("--history takes a time from 1min to 366d, and does not follow")
        from memd.cli import history

        return history.run(arguments)
    with common.connect(arguments) as memd:
        if arguments.follow:
            for level, facts in memd.pressure():
                _print(arguments, level, facts)
        else:
            facts = memd.status()["pressure"]
            _print(arguments, facts["level"], facts)
    return exits.FINE


def _print(arguments: argparse.Namespace, level: str, facts: PressureFacts) -> None:
    now = time.time()
    if arguments.json:
        common.print_json({**facts, "time": now, "level": level}, line=True)
    else:
        print(text(level, facts, now, common.look()))
    sys.stdout.flush()


def text(level: str, facts: PressureFacts, now: float, look: Look) -> str:
    """`2025-11-22T23:45:01+0100  medium    stalled some 12.0% 3.1%, full 4.0% 0.9% (last 10s, 60s)  310M available`"""
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
    averages = stalls(facts)
    told = f"  stalled {averages} (last 10s, 60s)" if averages else ""
    if "available" in facts:
        told += f"  {format_size(facts['available'])} available"
    return f"{when}  {look.paint(f'{safe(level):8}', LEVEL_COLOURS.get(level, ''))}{told}".rstrip()
