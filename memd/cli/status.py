"""memctl status: everything at a glance, in one round trip."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import Line, Look, picture, safe
from memd.units import format_seconds, format_size

if TYPE_CHECKING:
    import argparse

    from memd.cli.render import Colour
    from memd.client.types import (
        CmaFacts,
        HeapFacts,
        OwnerFacts,
        PoolFacts,
        PressureFacts,
        Status,
        SwapFacts,
        UnitPressureFacts,
        ZramFacts,
    )

LEVEL_COLOURS: dict[str, Colour] = {"none": "green", "low": "yellow", "medium": "yellow", "critical": "red"}
MOST_OWNERS = 10  # shown; --json has more
KINDS = {"udmabuf": "memfd pages as a DMA-BUF", "simulated": "SIMULATED: a memfd, no DMA-BUF"}


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    common.command(
        commands,
        everywhere,
        run,
        "status",
        help="show RAM, zram, swap, CMA, heaps and pressure at a glance",
        example="memctl status --json",
    )


def run(arguments: argparse.Namespace) -> int:
    with common.connect(arguments) as memd:
        status = memd.status()
    if arguments.json:
        common.print_json(status)
    else:
        print(text(status, common.look()), end="")
    return exits.FINE


def text(status: Status, look: Look) -> str:
    lines = [
        *_board(status),
        *_ram(status),
        *_zrams(status),
        *_swaps(status),
        *_cmas(status),
        *_heaps(status),
        *_pools(status),
        *_lending(status),
        *_pressure(status["pressure"]),
        *(_unit(facts) for facts in status.get("unit_pressure", [])),
    ]
    lines += [Line("degraded", safe(finding), colour="yellow") for finding in status["degraded"]]
    lines += [Line("missing", safe(feature)) for feature in status["missing"]]
    title = f"memd {safe(status['version'])}, up {format_seconds(status['uptime'])}, pid {status['pid']}"
    return look.paint(title, "bold") + "\n\n" + picture(look, lines)


def _board(status: Status) -> list[Line]:
    """Which board, and how many regions of its memory are not Linux' own; nothing on a machine without device tree."""
    counts = status.get("map")
    if counts is None or not ("board" in status or counts["regions"]):
        return []
    words = [safe(status.get("board", "")), common.plural(counts["regions"], "region")]
    told = [("error", counts["errors"]), ("warning", counts["warnings"]), ("note", counts["notes"])]
    words += [common.plural(count, noun) for noun, count in told if count]
    colour: Colour = "red" if counts["errors"] else "yellow" if counts["warnings"] else ""
    return [Line("board", ", ".join(word for word in words if word), colour=colour)]


def _of(used: int, size: int) -> str:
    return f"{format_size(used)} of {format_size(size)}"


def _ram(status: Status) -> list[Line]:
    memory = status["memory"]
    used = memory["total"] - memory["available"]
    words = f"{_of(used, memory['total'])} in use, {format_size(memory['available'])} available"
    return [Line("RAM", words, used / memory["total"])]


def _zrams(status: Status) -> list[Line]:
    lines = [_zram(facts) for facts in status["zram"]]
    if status["zram_state"] not in ("active", "adopted"):
        colour: Colour = "red" if status["zram_state"] == "failed" else ""
        lines.append(Line("zram", f"{safe(status['zram_state'])}: {safe(status['zram_reason'])}", colour=colour))
    return lines


def _zram(facts: ZramFacts) -> Line:
    name = safe(os.path.basename(facts["device"]))
    how = f"{safe(facts['algorithm'])}, " + (
        f"priority {facts['priority']}" if "priority" in facts else "not in use as swap"
    )
    fill = facts["original"] / facts["disksize"] if facts["disksize"] else None
    words = f"{_of(facts['original'], facts['disksize'])} stored"
    if facts["original"]:
        words += f" in {format_size(facts['mem_used'])} of RAM, ratio {ratio(facts)} ({format_size(facts['compressed'])} compressed)"
    return Line(name, f"{words}; {how}", fill)


def ratio(facts: ZramFacts) -> str:
    """What zram gains in the end: bytes stored for each byte of RAM, allocator's overhead included; "-" when empty."""
    held = facts["original"] - facts.get("backed", 0)  # what lies on the backing device costs none
    return f"{held / facts['mem_used']:.1f}" if held > 0 and facts["mem_used"] else "-"


def _swaps(status: Status) -> list[Line]:
    fill = status["swap_fill"]
    if not fill["size"]:
        return [Line("swap", "none")]
    others = [swap for swap in status["swap"] if not os.path.basename(swap["path"]).startswith("zram")]
    cost = "" if len(others) == len(status["swap"]) else f" at a cost of {format_size(fill['cost'])} of RAM"
    words = f"{fill['fraction']:.0%} full: {format_size(fill['used'])} swapped out{cost}, room for {format_size(fill['free'])} more"
    return [Line("swap", words, fill["fraction"]), *(_swap(swap) for swap in others)]


def _swap(swap: SwapFacts) -> Line:
    words = f"{_of(swap['used'], swap['size'])} in use; {safe(swap['kind'])}, priority {swap['priority']}"
    return Line(
        f"  {safe(os.path.basename(swap['path']))}", words, swap["used"] / swap["size"] if swap["size"] else None
    )


def _cmas(status: Status) -> list[Line]:
    if status["cma"]:
        return [Line("CMA", ""), *(_cma(facts) for facts in status["cma"])]
    total, free = status["memory"].get("cma_total"), status["memory"].get("cma_free")
    if not total or free is None:
        return [Line("CMA", "none")]
    return [Line("CMA", f"{_of(total - free, total)} in use, all areas together", (total - free) / total)]


def _cma(facts: CmaFacts) -> Line:
    size, available, failed = facts.get("size"), facts.get("available"), facts.get("alloc_fail")
    words = format_size(size) if size is not None else "size unknown"
    fill = None
    if size and available is not None:
        words, fill = f"{_of(size - available, size)} in use", (size - available) / size
    if facts.get("failures"):
        words += f"; {common.plural(facts['failures'], 'request')} failed since the machine started"
    elif failed:  # the kernel counts pages, not requests
        words += f"; {common.plural(failed, 'page')} not to be had since boot"
    if facts.get("state", "fine") != "fine":
        words += f"; {safe(facts['state']).replace('-', ' ')}"
    return Line(f"  {safe(facts['name'])}", words, fill)


def _heaps(status: Status) -> list[Line]:
    if not status["heaps"]:
        return [Line("heaps", "none")]
    return [Line("heaps", ""), *(_heap(facts) for facts in status["heaps"])]


def _heap(facts: HeapFacts) -> Line:
    words = "nothing lent"
    if facts["lent_buffers"]:
        words = f"{format_size(facts['lent_bytes'])} lent in {common.plural(facts['lent_buffers'], 'buffer')}"
    notes = heap_notes(facts)
    return Line(f"  {safe(facts['name'])}", f"{words}; {notes}" if notes else words)


def _pools(status: Status) -> list[Line]:
    rows = status.get("pools", [])
    return [Line("pools", ""), *(_pool(facts) for facts in rows)] if rows else []


def _pool(facts: PoolFacts) -> Line:
    words = f"{facts['ready']} of {common.plural(facts['count'], 'buffer')} of {format_size(facts['size'])} ready"
    return Line(f"  {safe(facts['name'])}", f"{words}; heap {safe(facts['heap'])}", facts["ready"] / facts["count"])


def heap_notes(facts: HeapFacts) -> str:
    """What a name and a kind do not say; empty for a plain heap."""
    notes = [KINDS[facts["kind"]]] if facts["kind"] in KINDS else []
    if facts.get("region"):
        notes.append(f"CMA area {safe(facts['region'])}")
    if facts.get("device"):
        notes.append(f"belongs to {safe(facts['device'])}")
    if facts["aliases"]:
        notes.append("also called " + ", ".join(safe(alias) for alias in facts["aliases"]))
    return "; ".join(notes)


def _lending(status: Status) -> list[Line]:
    lending = status["lending"]
    count, most = lending["lent_buffers"], common.plural(lending["max_buffers"], "buffer")
    words = f"{_of(lending['lent_bytes'], lending['max_bytes'])}, {count} of {most}"
    words += f"; {common.plural(lending['refused'], 'request')} refused" if lending["refused"] else ""
    fill = lending["lent_bytes"] / lending["max_bytes"] if lending["max_bytes"] else None
    return [Line("lent", words, fill), *(_owner(facts) for facts in status["owners"][:MOST_OWNERS])]


def _owner(facts: OwnerFacts) -> Line:
    words = f"{format_size(facts['lent_bytes'])} in {common.plural(facts['lent_buffers'], 'buffer')}"
    if facts["refused"]:
        words += (
            f"; {common.plural(facts['refused'], 'request')} refused, the last: {safe(facts.get('last_refusal', ''))}"
        )
    return Line(f"  {safe(facts['owner'])}", words)


def _pressure(facts: PressureFacts) -> list[Line]:
    level = facts["level"]
    words = f"{safe(level)} for {format_seconds(facts['since'])}"
    lines = [Line("pressure", words, colour=LEVEL_COLOURS.get(level, ""))]
    if averages := stalls(facts):
        lines.append(Line("", f"stalled {averages} (last 10s, 60s)"))
    return [*lines, Line("", safe(facts["mode"]))] if facts.get("mode") else lines


def _unit(facts: UnitPressureFacts) -> Line:
    words = safe(facts["level"]) if facts["watched"] else "does not run"
    return Line(f"  {safe(facts['unit'])}", words, colour=LEVEL_COLOURS.get(facts["level"], ""))


def stalls(facts: PressureFacts) -> str:
    """`some 1.2% 0.4%, full 0.0% 0.0%`; empty where the kernel tells nothing."""
    parts = []
    if "some_avg10" in facts and "some_avg60" in facts:
        parts.append(f"some {facts['some_avg10']:.1f}% {facts['some_avg60']:.1f}%")
    if "full_avg10" in facts and "full_avg60" in facts:
        parts.append(f"full {facts['full_avg10']:.1f}% {facts['full_avg60']:.1f}%")
    return ", ".join(parts)
