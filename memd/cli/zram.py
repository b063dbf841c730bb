"""memctl zram: compressed swap, what it holds and what it costs."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from memd.cli import common, exits, zramset
from memd.cli.render import Look, safe, table, wrap
from memd.cli.status import ratio
from memd.units import format_size

if TYPE_CHECKING:
    from memd.client.types import Status, ZramFacts

HEADS = ("DEVICE", "SIZE", "STORED", "COMPRESSED", "COST", "RATIO", "LIMIT", "PEAK", "ALGORITHM", "PRIORITY")
RIGHT = frozenset(HEADS) - {"DEVICE", "ALGORITHM"}


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "zram",
        help="show zram devices: size, what is stored, what it really costs",
        example="memctl zram --json",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", parser_class=type(parser))
    zramset.add(actions, everywhere)


def run(arguments: argparse.Namespace) -> int:
    with common.connect(arguments) as memd:
        status = memd.status()
    if arguments.json:
        common.print_json({key: status[key] for key in ("zram_state", "zram_reason", "zram")})
    else:
        print(text(status, common.look()), end="")
    return exits.BAD_NEWS if status["zram_state"] == "failed" else exits.FINE


def text(status: Status, look: Look) -> str:
    told = wrap(f"{safe(status['zram_state'])}: {safe(status['zram_reason'])}", look.width or 10_000)
    devices = table(look, HEADS, [_row(facts) for facts in status["zram"]], RIGHT) if status["zram"] else ""
    return "".join(f"{line}\n" for line in told) + devices


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
