"""What memctl zram says below its table: what is saved, what failed, what was written back, what maintenance won, how much still fits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from memd.cli.render import Look, safe, wrap
from memd.units import format_seconds, format_size

if TYPE_CHECKING:
    from memd.client.types import CareFacts, MaintenanceFacts, Status, ZramFacts

WORKS = {"writeback": "written back", "recompress": "recompressed", "compact": "compacted"}


def details(status: Status, look: Look) -> str:
    lines = [line for facts in status["zram"] for line in _device(facts)]
    if status["zram"]:
        lines += _maintenance(status["maintenance"], backed=any("backing_device" in facts for facts in status["zram"]))
    lines += [f"swap: {safe(words)}" for words in status["swap_words"]]
    return "".join(f"{part}\n" for line in lines for part in wrap(line, look.width or 10_000))


def saved(facts: ZramFacts) -> int:
    """Bytes of RAM that would be taken without compression, less what is; below 0 for a device that costs more than it holds."""
    return facts["original"] - facts.get("backed", 0) - facts["mem_used"]


def _device(facts: ZramFacts) -> Iterator[str]:
    name = safe(os.path.basename(facts["device"]))
    gain = saved(facts)
    words = [f"saves {format_size(gain)} of RAM" if gain >= 0 else f"costs {format_size(-gain)} more than it holds"]
    if "room" in facts:
        words.append(f"room for {format_size(facts['room'])} more at this ratio")
    words.append(f"{facts['same_pages']} pages same-filled")
    words += _incompressible(facts)
    yield f"{name}: {', '.join(words)}"
    failed = {kind: facts.get(key, 0) for kind, key in (("reads", "failed_reads"), ("writes", "failed_writes"))}
    if any(failed.values()):
        yield f"{name}: FAILED: {', '.join(f'{count} {kind}' for kind, count in failed.items() if count)}"
    yield from _backing(name, facts)
    yield from (f"{name}: {_won(step)}" for step in facts.get("maintenance", ()))


def _incompressible(facts: ZramFacts) -> Iterator[str]:
    if "huge_pages" in facts:
        ever = f" ({facts['huge_since']} ever)" if "huge_since" in facts else ""
        yield f"{facts['huge_pages']} huge, which did not compress{ever}"


def _backing(name: str, facts: ZramFacts) -> Iterator[str]:
    if "backing_device" not in facts:
        return
    size = f" of {format_size(facts['backing_size'])}" if "backing_size" in facts else ", which is gone,"
    yield (
        f"{name}: {format_size(facts.get('backed', 0))}{size} on {safe(facts['backing_device'])};"
        f" written back {format_size(facts.get('written_back', 0))}, read back {format_size(facts.get('read_back', 0))} since set-up"
    )


def _won(step: CareFacts) -> str:
    work = WORKS.get(step["work"], safe(step["work"]))
    if step["skipped"] and step["before"] == step["after"] and not step["written"]:
        return f"not {work}{' (FAILED)' if step['failed'] else ''}: {safe(step['skipped'])}"
    written = f", {format_size(step['written'])} to the backing device" if step["written"] else ""
    ended = f"; ended: {safe(step['skipped'])}" if step["skipped"] else ""
    took = f"{format_size(step['before'])} of RAM became {format_size(step['after'])}{written}"
    return f"{work}: {took}, in {format_seconds(step['seconds'])}{ended}"


def _maintenance(facts: MaintenanceFacts, *, backed: bool) -> list[str]:
    if not facts.get("enabled"):
        return ["maintenance: off"]
    words = [f"next round in {format_seconds(facts['next'])}"] if "next" in facts else ["a round runs"]
    if "postponed" in facts:
        words.append(f"postponed: {safe(facts['postponed'])}")
    if backed and "day_budget" in facts:
        left = facts.get("day_left")
        words.append(
            f"{format_size(left)} of today's {format_size(facts['day_budget'])} may still be written"
            if left is not None
            else f"{format_size(facts['day_budget'])} a day may be written"
        )
    return [f"maintenance: {', '.join(words)}"]


def regions(look: Look) -> str:
    """What zram's pages take of each CMA region: asked of the kernel here, by root, since memd has no business with every page's flags."""
    from memd.errors import BadKernelFile
    from memd.kernel import zspages
    from memd.kernel.root import Root

    try:
        found = zspages.in_regions(Root())
    except (OSError, BadKernelFile):
        return ""
    shares = ", ".join(f"{safe(name)} {format_size(size)}" for name, size in sorted(found.items()) if size)
    line = f"in CMA regions, at most: {shares} (movable, and moved when a region is asked for)"
    return "".join(f"{part}\n" for part in wrap(line, look.width or 10_000)) if shares else ""
