"""What an event of the watch says beside its level, and what the machine lacks. Everything but swap fill is a small read of /proc."""

from __future__ import annotations

from collections.abc import Mapping

from memd.errors import BadKernelFile
from memd.kernel import cma, meminfo, psi, swaps, vmstat, zram
from memd.kernel.root import Root
from memd.model import Event, Level, SwapFill, Trigger
from memd.names import MESSAGE_PRESSURE
from memd.policy import swapfill
from memd.units import format_size

RISE_PRIORITY = {Level.LOW: 5, Level.MEDIUM: 4, Level.CRITICAL: 3}
RELIEF_PRIORITY = 6
FIELDS = {
    "level": "MEMD_LEVEL",
    "previous": "MEMD_PREVIOUS",
    "some_avg10": "MEMD_PSI_SOME_AVG10",
    "full_avg10": "MEMD_PSI_FULL_AVG10",
    "total": "MEMD_MEM_TOTAL",
    "available": "MEMD_MEM_AVAILABLE",
    "swap_total": "MEMD_SWAP_TOTAL",
    "swap_free": "MEMD_SWAP_FREE",
    "cma_total": "MEMD_CMA_TOTAL",
    "cma_free": "MEMD_CMA_FREE",
}
FILL_FIELDS = {"free": "MEMD_SWAP_REACHABLE", "cost": "MEMD_SWAP_COST"}
MEMORY = ("total", "available", "swap_total", "swap_free", "cma_total", "cma_free")


def read(root: Root) -> dict[str, object]:
    """PSI in percent, memory in bytes, by the names of GetStatus; what can't be read or isn't there is left out."""
    facts: dict[str, object] = {}
    try:
        memory = meminfo.read(root)
        facts |= {key: getattr(memory, key) for key in MEMORY if getattr(memory, key) is not None}
    except (OSError, BadKernelFile):
        return facts  # GetStatus names the file; an event must not wait for it
    return facts | stalls(root)


def stalls(root: Root, name: str = psi.NAME) -> dict[str, object]:
    """PSI of the machine, or of the cgroup whose memory.pressure `name` is, in percent; empty where it can't be read."""
    try:
        now = psi.read(root, name)
    except (OSError, BadKernelFile):
        return {}
    facts: dict[str, object] = {}
    for kind, line in (("some", now.some), ("full", now.full)) if now else ():
        if line:
            facts |= {f"{kind}_avg10": line.avg10, f"{kind}_avg60": line.avg60}
    return facts


def read_fill(root: Root) -> SwapFill | None:
    """Blocking: a zram device under writeback or recompression holds up who reads its mm_stat. None without swap."""
    active = swaps.read(root)
    if not active:
        return None
    names = {swap.path.rpartition("/")[2] for swap in active if swapfill.is_zram(swap)}
    return swapfill.fill(meminfo.read(root), active, [zram.read(root, name) for name in sorted(names)])


def fill_facts(fill: SwapFill) -> dict[str, object]:
    return {**vars(fill), "fraction": fill.fraction}


def event(level: Level, previous: Level, facts: Mapping[str, object]) -> Event:
    """The journal entry of one change of level."""
    priority = RISE_PRIORITY[level] if level > previous else RELIEF_PRIORITY
    fill = facts.get("swap_fill")
    known = _fields(FIELDS, facts) | (_fields(FILL_FIELDS, fill) if isinstance(fill, Mapping) else {})
    return Event(_sentence(level, previous, facts), MESSAGE_PRESSURE, priority, known)


def _fields(names: Mapping[str, str], facts: Mapping[str, object]) -> dict[str, str | int | float]:
    values = {name: facts.get(key) for key, name in names.items()}
    return {name: value for name, value in values.items() if isinstance(value, str | int | float)}


def _sentence(level: Level, previous: Level, facts: Mapping[str, object]) -> str:
    parts = []
    if "some_avg10" in facts:
        full = f", full {facts['full_avg10']}%" if "full_avg10" in facts else ""
        parts.append(f"stalled some {facts['some_avg10']}%{full} of the last 10 s")
    for key, what in (("available", "of memory available"), ("swap_free", "of swap free")):
        size = facts.get(key)
        if isinstance(size, int) and facts.get("swap_total" if key == "swap_free" else key):
            parts.append(f"{format_size(size)} {what}")
    return f"memory pressure is {level}, was {previous}" + (": " + ", ".join(parts) if parts else "")


def lacking(root: Root) -> tuple[str, ...]:
    """One line for each thing to watch that this machine does not have; PSI is told by who opens its triggers."""
    lines = []
    try:
        memory = meminfo.read(root)
    except (OSError, BadKernelFile) as error:
        return (f"memory can't be watched: {error}",)
    if not memory.swap_total:
        lines.append("no swap: nothing can be swapped out under pressure")
    if not zram.names(root) and not zram.has_control(root):
        lines.append("no zram in this kernel, or its module is not loaded: swap is not compressed in RAM")
    lines += _lacking_refaults(root)
    lines += _lacking_cma(root, memory.cma_total)
    return tuple(lines)


def _lacking_refaults(root: Root) -> list[str]:
    try:
        told = vmstat.refaulted(root) is not None
    except (OSError, BadKernelFile) as error:
        return [f"refaults can't be watched: {error}"]
    return [] if told else ["no refaults in /proc/vmstat: relief goes by stalls alone"]


def _lacking_cma(root: Root, total: int | None) -> list[str]:
    if total is None:
        return ["no CMA in this kernel (CONFIG_CMA): no contiguous memory to watch"]
    if not total:
        return ["no CMA area: this kernel can have one, and nothing reserves it (cma= or a device-tree region)"]
    if not root.exists(cma.DIRECTORY):
        return ["no CMA statistics by area (CONFIG_CMA_SYSFS): only the sum of all areas is known"]
    return []


def trigger_words(triggers: tuple[Trigger, ...]) -> str:
    """`low some 100ms, medium some 250ms, critical full 150ms`."""
    return ", ".join(f"{trigger.level} {trigger.kind} {round(trigger.stall * 1000)}ms" for trigger in triggers)
