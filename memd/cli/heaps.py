"""memctl heaps: what there is to borrow from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import Look, safe, table
from memd.cli.status import heap_notes
from memd.units import format_size

if TYPE_CHECKING:
    from memd.client.types import HeapFacts

HEADS = ("NAME", "KIND", "LENT", "BUFFERS", "NOTES")


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    common.command(
        commands, everywhere, run, "heaps", help="list the heaps and what is lent from them", example="memctl heaps"
    )


def run(arguments: argparse.Namespace) -> int:
    with common.connect(arguments) as memd:
        heaps = memd.heaps()
    if arguments.json:
        common.print_json(heaps)
    else:
        print(text(heaps, common.look()), end="")
    return exits.FINE


def text(heaps: list[HeapFacts], look: Look) -> str:
    if not heaps:
        return (
            "no heaps: this kernel has no /dev/dma_heap and no /dev/udmabuf (memd --simulate offers a simulated one)\n"
        )
    rows = [
        (
            safe(heap["name"]),
            safe(heap["kind"]),
            format_size(heap["lent_bytes"]),
            str(heap["lent_buffers"]),
            heap_notes(heap),
        )
        for heap in heaps
    ]
    return table(look, HEADS, rows, frozenset({"LENT", "BUFFERS"}))
