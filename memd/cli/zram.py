"""memctl zram: compressed swap, what it holds and what it costs."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from memd.cli import common, exits, zramset, zramshow
from memd.cli.render import Look, safe, table, wrap
from memd.cli.status import ratio
from memd.errors import InvalidArgs
from memd.units import format_size

if TYPE_CHECKING:
    from memd.client.types import Status, ZramFacts

HEADS = ("DEVICE", "SIZE", "STORED", "COMPRESSED", "COST", "RATIO", "LIMIT", "PEAK", "ALGORITHM", "PRIORITY")
SHOWN = ("zram_state", "zram_reason", "zram", "maintenance", "swap_words")
WATCH, LEAST_WATCH = 2.0, 0.5
CLEAR = "\x1b[H\x1b[J"  # only on a terminal
RIGHT = frozenset(HEADS) - {"DEVICE", "ALGORITHM"}


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "zram",
        help="show zram devices: size, what is stored, what it really costs",
        example="memctl zram --watch 5s",
    )
    parser.add_argument(
        "--watch",
        metavar="TIME",
        nargs="?",
        type=common.seconds,
        const=WATCH,
        help="go on, every 2s or TIME, until interrupted; with --json an object a line",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", parser_class=type(parser))
    zramset.add(actions, everywhere)


def run(arguments: argparse.Namespace) -> int:
    if arguments.watch is not None and arguments.watch < LEAST_WATCH:
        raise InvalidArgs(f"--watch: every look costs memd one too; not more often than {LEAST_WATCH}s")
    with common.connect(arguments) as memd:
        status = memd.status()
        while arguments.watch is not None:
            _show(status, arguments, again=True)
            time.sleep(arguments.watch)
            status = memd.status()
    _show(status, arguments)
    return exits.BAD_NEWS if status["zram_state"] == "failed" else exits.FINE


def _show(status: Status, arguments: argparse.Namespace, *, again: bool = False) -> None:
    if arguments.json:
        common.print_json({key: status[key] for key in SHOWN}, line=again)  # type: ignore[literal-required]  # names of Status
    else:
        clear = CLEAR if again and sys.stdout.isatty() else ""
        print(
            clear + text(status, common.look()) + zramshow.regions(common.look()),
            end="" if clear or not again else "\n",
        )
    sys.stdout.flush()


def text(status: Status, look: Look) -> str:
    told = wrap(f"{safe(status['zram_state'])}: {safe(status['zram_reason'])}", look.width or 10_000)
    devices = table(look, HEADS, [_row(facts) for facts in status["zram"]], RIGHT) if status["zram"] else ""
    return "".join(f"{line}\n" for line in told) + devices + zramshow.details(status, look)


def _row(facts: ZramFacts) -> tuple[str, ...]:
    return (
        safe(os.path.basename(facts["device"])),
        format_size(facts["disksize"]),
        format_size(facts["original"]),
        format_size(facts["compressed"]),
        format_size(facts["mem_used"]),
        ratio(facts),
        format_size(facts["mem_limit"]) if facts["mem_limit"] else "none",
        format_size(facts["mem_used_max"]),
        safe(facts["algorithm"]),
        str(facts.get("priority", "-")),
    )
