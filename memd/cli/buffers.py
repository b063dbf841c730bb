"""memctl buffers: who has what, who holds it, and giving up on one."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from memd.cli import common, exits
from memd.cli.render import Look, safe, table
from memd.errors import InvalidArgs
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
        example="memctl buffers --heap system --older 10min\n         memctl buffers --holders --older 10min\n"
        "         memctl buffers --write-off 17",
    )
    parser.add_argument("--heap", metavar="HEAP", help="of this heap only")
    parser.add_argument("--owner", metavar="OWNER", help="charged to this owner only, as the OWNER column says it")
    parser.add_argument(
        "--older", metavar="TIME", type=common.seconds, help="lent longer ago than this, like 90s or 10min"
    )
    parser.add_argument(
        "--holders",
        action="store_true",
        help="every process that holds one, and how; without a filter also DMA-BUFs that memd did not lend (root)",
    )
    parser.add_argument(
        "--write-off",
        metavar="ID",
        type=_number,
        help="charge the owner no longer for this one, which others keep (administrators)",
    )


def run(arguments: argparse.Namespace) -> int:
    filters = {name: getattr(arguments, name) for name in ("heap", "owner", "older")}
    filtered = any(value is not None for value in filters.values())
    if arguments.write_off is not None:
        if filtered or arguments.holders:
            raise InvalidArgs("buffers: --write-off ID stands alone; see memctl buffers --help")
        return _write_off(arguments)
    if arguments.holders:
        return _held(arguments, filters, filtered=filtered)
    with common.connect(arguments) as memd:
        rows = list(memd.buffers(**filters))
    if arguments.json:
        common.print_json(rows)
    else:
        print(text(rows, time.time(), common.look()), end="")
    return exits.FINE


def _held(arguments: argparse.Namespace, filters: dict[str, Any], *, filtered: bool) -> int:
    """Listed before and after the look: what was lent or given back meanwhile is not told wrong."""
    from memd.cli import holders
    from memd.kernel.root import Root

    survey = holders.Survey(Root())
    with common.connect(arguments) as memd:
        before = {row["id"]: row for row in memd.buffers(**filters)}
        survey.look()
        after = {row["id"]: row for row in memd.buffers(**filters)}
    held = [survey.of(row) for number, row in after.items() if number in before]
    others = [] if filtered else survey.others([*before.values(), *after.values()])
    if arguments.json:
        common.print_json({"buffers": held, "others": others, "unseen": survey.unseen})
    else:
        print(holders.text(held, others, time.time(), common.look()), end="")
        if survey.unseen:
            print(f"memctl: {len(survey.unseen)} of the processes could not be looked at", file=sys.stderr)
    return exits.FINE


def _write_off(arguments: argparse.Namespace) -> int:
    with common.connect(arguments) as memd:
        info = memd.write_off(arguments.write_off)
    if arguments.json:
        common.print_json(info)
    else:
        what = f"buffer {arguments.write_off}, {format_size(info['size'])} of heap {safe(info['heap'])}"
        print(f"{what}: charged to {safe(info['owner'])} no longer; it counts against [Lending] until it is gone")
    return exits.FINE


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word) < 1 << 64):
        raise argparse.ArgumentTypeError(f"{word!a} is no number of a buffer; memctl buffers lists them")
    return int(word)


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
