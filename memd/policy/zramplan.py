"""What to do about zram, from what is there: pure, no I/O. `service/swapper` does it."""

from __future__ import annotations

from memd.early import MemInfo, Noun, Swap, ZramOutcome, ZramSettings, ZramStat
from memd.errors import InvalidArgs
from memd.policy import zramalgorithm, zramsize
from memd.policy.zramsections import Facts, active_zram, devices_of, title, zram_name
from memd.units import format_size


class Plan(Noun):
    """`action`: "done" (nothing to do, `outcome` says why), "load" the module, "use" `device`, or "add" one."""

    action: str
    outcome: ZramOutcome | None = None
    device: str | None = None
    disksize: int = 0
    limit: int | None = None
    notes: tuple[str, ...] = ()


def decide(settings: ZramSettings, facts: Facts) -> Plan:
    """The one next step."""
    reason = _unwanted(settings, facts)
    if reason:
        return _off(reason)
    disksize, limit, notes = _sizes(settings, facts)
    active = _of_section(settings.name, facts)
    if active:
        return Plan(action="done", outcome=_adopted(settings, active, disksize, notes))
    if not disksize:
        return _off(f"{title(settings.name)} Size={settings.size} gives no device on this machine", notes)
    return _new(facts, disksize, limit, notes)


def fresh(settings: ZramSettings, facts: Facts) -> Plan:
    """The next step towards a new device beside what is there."""
    disksize, limit, notes = _sizes(settings, facts)
    reason = _unwanted(settings, facts) or (
        None if disksize else f"{title(settings.name)} Size={settings.size} gives no device on this machine"
    )
    return _off(reason, notes) if reason else _new(facts, disksize, limit, notes)


def _new(facts: Facts, disksize: int, limit: int | None, notes: tuple[str, ...]) -> Plan:
    free = next((stat.name for stat in facts.stats if is_free(stat)), None)
    action = "use" if free else "add" if facts.control else "load"
    return Plan(action=action, device=free, disksize=disksize, limit=limit, notes=notes)


def _of_section(section: str, facts: Facts) -> tuple[tuple[ZramStat, Swap], ...]:
    """The section's device first, then what belongs to no section."""
    taken = devices_of(facts)
    mine = taken.get(section)
    active = active_zram(facts.stats, facts.swaps or ())
    first = tuple(pair for pair in active if pair[0].name == mine)
    return first + tuple(pair for pair in active if first and not section and pair[0].name not in taken.values())


def _unwanted(settings: ZramSettings, facts: Facts) -> str | None:
    if not settings.enabled:
        return "Enabled=no in [Zram]; what swap there is stays as it is"
    if facts.container and not settings.allow_in_container:
        return f"this is a container ({facts.container}), and swap is its host's: nothing is done without AllowInContainer=yes"
    if facts.swaps is None:
        return "this kernel has no swap (CONFIG_SWAP)"
    return None


def _off(reason: str, notes: tuple[str, ...] = ()) -> Plan:
    return Plan(action="done", outcome=ZramOutcome(state="off", reason=reason, notes=notes))


def ram(memory: MemInfo) -> int:
    """What `ram` means in Size=: RAM less what is reserved for CMA, which a device's drivers will want back."""
    return memory.total - (memory.cma_total or 0)


def _sizes(settings: ZramSettings, facts: Facts) -> tuple[int, int | None, tuple[str, ...]]:
    """Disksize, limit, notes. A wrong size never costs the machine its swap: the default curve is taken, and no limit."""
    known = ram(facts.memory)
    notes: list[str | None] = []
    try:
        disksize = zramsize.size(settings.size, known, facts.page)
        notes.append(zramsize.note(disksize, known))
    except InvalidArgs as error:
        disksize = 0 if settings.name else zramsize.size(None, known, facts.page)
        instead = "the device is left out" if settings.name else f"the default of {format_size(disksize)} is taken"
        notes.append(f"Size={error}; {instead}")
    limit = None
    if settings.mem_limit is not None:
        try:
            limit = zramsize.size(settings.mem_limit, known, facts.page)
        except InvalidArgs as error:
            notes.append(f"MemLimit={error}; there is none")
    return disksize, limit, tuple(note for note in notes if note)


def is_free(stat: ZramStat) -> bool:
    """Nobody gave it a size; who is faster makes the other's write EBUSY."""
    return not stat.initstate and not stat.disksize


def leftovers(facts: Facts) -> tuple[str, ...]:
    """Devices that have a size and are not swap: a memd that was killed half way may have left one, or they are somebody's disk."""
    swapped = {zram_name(swap) for swap in facts.swaps or ()}
    return tuple(stat.name for stat in facts.stats if not is_free(stat) and stat.name not in swapped)


def _adopted(
    settings: ZramSettings, active: tuple[tuple[ZramStat, Swap], ...], disksize: int, notes: tuple[str, ...]
) -> ZramOutcome:
    stat, swap = active[0]
    notes += tuple(f"{other.name} is zram swap too ({format_size(other.disksize)})" for other, _ in active[1:])
    if stat.disksize != disksize:
        notes += (f"{title(settings.name)} asks for {format_size(disksize)}; a device in use is not resized",)
    chosen, _ = choose_algorithm(settings.algorithms, stat)
    if stat.algorithm != chosen:
        notes += (f"{title(settings.name)} asks for {chosen}; a device in use keeps its algorithm",)
    return ZramOutcome(
        state="adopted",
        reason=f"{stat.name} is swap already ({describe(stat.disksize, stat.algorithm, swap.priority)}) and stays as it is",
        device=stat.name,
        disksize=stat.disksize,
        algorithm=stat.algorithm,
        notes=notes,
    )


def choose_algorithm(wanted: tuple[str, ...], stat: ZramStat) -> tuple[str, str | None]:
    """The first that the kernel offers, else what it has chosen itself, and a note that says so."""
    for name in map(zramalgorithm.name, wanted):
        if name in stat.algorithms:
            return name, None
    if not wanted:
        return stat.algorithm, None
    return stat.algorithm, f"this kernel offers none of {' '.join(wanted)}; its own {stat.algorithm} is taken"


def describe(disksize: int, algorithm: str, priority: int) -> str:
    """`8G, lz4, priority 100`."""
    return f"{format_size(disksize)}, {algorithm}, priority {priority}"
