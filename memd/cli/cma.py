"""memctl cma: contiguous memory, area for area: what is free and in how large a piece, who holds it, and what size would have done."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from memd.cli import common, exits
from memd.cli.render import Look, safe, table, wrap
from memd.units import format_size

if TYPE_CHECKING:
    from memd.client import Memd
    from memd.client.types import CmaFacts, Status
    from memd.kernel.bufinfo import BufInfo
    from memd.policy.cmahealth import Advice

HEADS = ("AREA", "SIZE", "USED", "FREE", "LARGEST RUN", "IN PIECES", "PEAK", "FAILED", "STATE")
RIGHT = frozenset(HEADS) - {"AREA", "STATE"}
MOST_OWNERS = 5


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "cma",
        help="show contiguous memory: what is free in how large a piece, and who holds the rest",
        example="memctl cma --advise",
    )
    parser.add_argument(
        "--advise",
        action="store_true",
        help="say what size would have held all that was seen since the machine started",
    )


def run(arguments: argparse.Namespace) -> int:
    with common.connect(arguments) as memd:
        status = memd.status()
        areas = [_area(memd, status, facts) for facts in status["cma"]]
    if arguments.json:
        common.print_json(areas)
    elif arguments.advise:
        print(advice_text(areas, common.look()), end="")
    else:
        print(text(areas, common.look()), end="")
    short = any(not area["advice"]["enough"] for area in areas)
    return exits.BAD_NEWS if arguments.advise and short else exits.FINE


def _area(memd: Memd, status: Status, facts: CmaFacts) -> dict[str, Any]:
    """What memd says of an area, who holds it as far as the caller may know, and the advice."""
    heaps = [heap for heap in status["heaps"] if heap.get("region") == facts["name"]]
    lent = [row for heap in heaps for row in memd.buffers(heap=heap["name"])]
    owners: dict[str, int] = {}
    for row in lent:
        owners[row["owner"]] = owners.get(row["owner"], 0) + row["size"]
    words = {word for heap in heaps for word in (heap["name"], *heap["aliases"])}
    default = facts["name"] == "reserved" or any("contiguous" in heap["aliases"] for heap in heaps)
    used = facts["size"] - facts["available"] if "size" in facts and "available" in facts else None
    by_memd = sum(heap["lent_bytes"] for heap in heaps)
    return {
        **facts,
        "default": default,
        "holders": holders(used, by_memd, owners, words, _buffers()),
        "advice": _plain(advise(facts)),
    }


def _buffers() -> tuple[BufInfo, ...] | None:
    """The kernel's own list, which only root may read; None for others, and where there is none."""
    from memd.errors import BadKernelFile
    from memd.kernel import bufinfo
    from memd.kernel.root import Root

    try:
        return bufinfo.read(Root())
    except (OSError, BadKernelFile):
        return None


def holders(
    used: int | None, lent: int, owners: dict[str, int], heaps: set[str], buffers: tuple[BufInfo, ...] | None
) -> dict[str, Any]:
    """Bytes: `memd` lent (`owners`: those that the caller may see), `dmabufs` other buffers of its heaps, `drivers` the rest of what is
    used. A key is absent where nobody tells."""
    told: dict[str, Any] = {"memd": lent, "owners": owners}
    if buffers is not None:
        of_heaps = sum(buffer.size for buffer in buffers if buffer.exporter in heaps)
        told["dmabufs"] = max(of_heaps - lent, 0)
    if used is not None and "dmabufs" in told:
        told["drivers"] = max(used - lent - told["dmabufs"], 0)
    return told


def advise(facts: CmaFacts) -> Advice:
    from memd.policy.cmahealth import Advice, CmaSeen
    from memd.policy.cmahealth import advise as judge

    if "size" not in facts or "peak" not in facts:
        return Advice(None, "this kernel does not tell how large the area is, and what of it is free")
    seen = CmaSeen(
        peak=facts["peak"],
        failures=facts.get("failures", 0),
        largest_failed=facts.get("largest_failed", 0),
        needed=facts.get("needed", 0),
    )
    return judge(seen, facts["size"])


def _plain(advice: Advice) -> dict[str, Any]:
    return {"size": advice.size, "reason": advice.reason, "enough": advice.enough}


def text(areas: list[dict[str, Any]], look: Look) -> str:
    if not areas:
        return "no CMA area: this kernel has none (CONFIG_CMA, and cma= or a device-tree region)\n"
    rows = table(look, HEADS, [_row(area) for area in areas], RIGHT)
    held = "".join(_held(area, look) for area in areas)
    return rows + held


def _row(area: dict[str, Any]) -> tuple[str, ...]:
    size, free, run = area.get("size"), area.get("available"), area.get("largest_run")
    used = size - free if size is not None and free is not None else None
    pieces = area.get("fragmentation")
    return (
        safe(area["name"]),
        *("-" if value is None else format_size(value) for value in (size, used, free, run)),
        "-" if pieces is None else f"{pieces:.0%}",
        "-" if "peak" not in area else format_size(area["peak"]),
        str(area.get("failures", "-")),
        safe(area.get("state", "-")),
    )


def _held(area: dict[str, Any], look: Look) -> str:
    """`reserved: memd lent 8M (camera.service 8M), other DMA-BUFs 4M, drivers 16M`"""
    told = area["holders"]
    parts = []
    if told["memd"]:
        ranked = sorted(told["owners"].items(), key=lambda item: -item[1])[:MOST_OWNERS]
        owners = ", ".join(f"{safe(owner)} {format_size(size)}" for owner, size in ranked)
        parts.append(f"memd lent {format_size(told['memd'])}" + (f" ({owners})" if owners else ""))
    for key, what in (("dmabufs", "other DMA-BUFs"), ("drivers", "drivers")):
        if told.get(key):
            parts.append(f"{what} {format_size(told[key])}")
    if not parts:
        return ""
    return "".join(f"{line}\n" for line in wrap(f"{safe(area['name'])}: {', '.join(parts)}", look.width or 10_000))


def advice_text(areas: list[dict[str, Any]], look: Look) -> str:
    if not areas:
        return text(areas, look)
    lines: list[str] = []
    for area in areas:
        lines += wrap(_advice_line(area), look.width or 10_000)
    return "".join(f"{line}\n" for line in lines)


def _advice_line(area: dict[str, Any]) -> str:
    advice, name = area["advice"], safe(area["name"])
    if advice["size"] is None:
        return f"{name}: {advice['reason']}"
    how = f"cma={advice['size'] >> 20}M" if area["default"] else f"size {advice['size']:#x} in its device-tree node"
    seen = f"peak {format_size(area['peak'])}, {common.plural(area.get('failures', 0), 'failure')}"
    if area.get("largest_failed"):
        seen += f", the largest of {format_size(area['largest_failed'])}"
    return (
        f"{name}: {format_size(advice['size'])} ({how}): {advice['reason']}; {format_size(area['size'])} now, {seen}"
    )
