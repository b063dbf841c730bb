"""memctl buffers: who has what."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import Look, safe, table
from memd.units import format_seconds, format_size

if TYPE_CHECKING:
    from memd.client.types import BufferFacts

HEADS = ("ID", "HEAP", "SIZE", "STATE", "OWNER", "UID", "PID", "AGE", "LABEL")


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "buffers",
        help="list lent buffers (root sees all, others their own)",
        example="memctl buffers --heap system --older 10min",
    )
    parser.add_argument("--heap", metavar="HEAP", help="of this heap only")
    parser.add_argument("--owner", metavar="OWNER", help="charged to this owner only, as the OWNER column says it")
    parser.add_argument(
        "--older", metavar="TIME", type=common.seconds, help="lent longer ago than this, like 90s or 10min"
    )


def run(arguments: argparse.Namespace) -> int:
    with common.connect(arguments) as memd:
        rows = list(memd.buffers(heap=arguments.heap, owner=arguments.owner, older=arguments.older))
    if arguments.json:
        common.print_json(rows)
    else:
        print(text(rows, time.time(), common.look()), end="")
    return exits.FINE


def text(buffers: list[BufferFacts], now: float, look: Look) -> str:
    if not buffers:
        return "no buffers\n"
    table_text = table(
        look, HEADS, [_row(buffer, now) for buffer in buffers], frozenset({"ID", "SIZE", "UID", "PID", "AGE"})
    )
    total = format_size(sum(buffer["size"] for buffer in buffers))
    return f"{table_text}{common.plural(len(buffers), 'buffer')}, {total}\n"


def _row(buffer: BufferFacts, now: float) -> tuple[str, ...]:
    return (
        str(buffer["id"]),
        safe(buffer["heap"]),
        format_size(buffer["size"]),
        safe(buffer["state"]),
        safe(buffer["owner"]),
        str(buffer["uid"]),
        str(buffer["pid"]),
        format_seconds(max(now - buffer["time"], 0)),
        safe(buffer["name"]),
    )
