"""What a change of [Zram] means for a device in use: what the kernel takes at once, and what needs a second device. Pure.

mem_limit and writeback_batch_size may be written at any time; all else is fixed once the device has a size, and a swap's priority and
discard are swapon's.
"""

from __future__ import annotations

from memd.early import MemInfo, Noun, Swap, ZramSettings, ZramStat
from memd.policy import swappriority, zramalgorithm, zramplan
from memd.units import format_size

FIELDS = {
    "Size": "size",
    "Algorithms": "algorithms",
    "Recompress": "recompress",
    "MemLimit": "mem_limit",
    "BackingDevice": "backing_device",
    "BackingEncrypted": "backing_encrypted",
    "CompressedWriteback": "compressed_writeback",
    "WritebackBatch": "writeback_batch",
    "Priority": "priority",
    "Discard": "discard",
}
# What the device itself shows: there a key that is said again is compared with the device, and not with what was said before.
SHOWN = ("Size", "Algorithms", "MemLimit", "WritebackBatch", "Priority")
PARAMETERS = "Parameters"  # no key of memd.conf: an algorithm's parameters, which no kernel shows
NAMED = {  # what only a new device takes, and what the old one does not show
    "Recompress": "secondary algorithms",
    "BackingDevice": "backing device",
    "BackingEncrypted": "its encryption",
    "CompressedWriteback": "how it writes back",
    "Discard": "discard",
    PARAMETERS: "parameters of its algorithm",
}
GONE = "Gone"  # no key either: the section is no longer there
TABLE = 256  # an empty device takes 1/256 of its size in RAM
HEADROOM = 32 << 20  # for what the machine does meanwhile


class Change(Noun):
    """`move`: why a second device is needed, a sentence's part each; `limit` (bytes, 0 none) and `batch` (pages): None where they stay."""

    move: tuple[str, ...] = ()
    limit: int | None = None
    batch: int | None = None


def to_check(old: ZramSettings, new: ZramSettings, given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The keys that may make a difference: those that changed, and those that were `given` and that a device shows."""
    changed = [key for key, field in FIELDS.items() if getattr(old, field) != getattr(new, field)]
    texts = [*old.algorithms, *new.algorithms, *old.recompress, *new.recompress]
    if {"Algorithms", "Recompress"} & set(changed) and any(map(zramalgorithm.parameters, texts)):
        changed.append(PARAMETERS)
    return tuple(dict.fromkeys([*changed, *(key for key in given if key in SHOWN)]))


def gone(old: tuple[ZramSettings, ...], new: tuple[ZramSettings, ...]) -> tuple[str, ...]:
    """The sections whose device is not wanted any more. [Zram] itself stays: what it stands for is the machine's first swap, which is
    switched off by hand."""
    wanted = {each.name for each in new if each.enabled}
    return tuple(each.name for each in old if each.name and each.enabled and each.name not in wanted)


def no_room_without(memory: MemInfo, swaps: tuple[Swap, ...], old: Swap) -> str | None:
    """Why a device can't be switched off now; None if RAM and other swap can take what it holds."""
    elsewhere = sum(swap.size - swap.used for swap in swaps if swap.path != old.path)
    room = max(memory.available - (memory.cma_free or 0) - HEADROOM, 0) + elsewhere
    if old.used <= room:
        return None
    name = old.path.rpartition("/")[2]
    return (
        f"{name} stays swap: {format_size(old.used)} are swapped out there, and RAM and other swap have room for {format_size(room)};"
        f" `swapoff /dev/{name}` switches it off when there is more"
    )


def change(keys: tuple[str, ...], wanted: ZramSettings, plan: zramplan.Plan, stat: ZramStat, *swaps: Swap) -> Change:
    """`plan`: what would be made anew. `stat` and the first of `swaps`: the device as it is; then the rest of all swap."""
    move = []
    if "Size" in keys and plan.disksize != stat.disksize:
        move.append(f"size {format_size(stat.disksize)} -> {format_size(plan.disksize)}")
    chosen, _ = zramplan.choose_algorithm(wanted.algorithms, stat)
    if "Algorithms" in keys and chosen != stat.algorithm:
        move.append(f"algorithm {stat.algorithm} -> {chosen}")
    priority, _ = swappriority.first(wanted.priority, swaps)
    if "Priority" in keys and priority != max(swaps[0].priority, -1):
        move.append(f"priority {swaps[0].priority} -> {priority}")
    move += [words for key, words in NAMED.items() if key in keys]
    limit = (plan.limit or 0) if "MemLimit" in keys and (plan.limit or 0) != stat.mem_limit else None
    return Change(move=tuple(move), limit=limit, batch=wanted.writeback_batch if "WritebackBatch" in keys else None)


def no_room(memory: MemInfo, swaps: tuple[Swap, ...], old: Swap, disksize: int) -> str | None:
    """Why a second device of `disksize` bytes can't be afforded now; None if it can."""
    available = memory.available - (memory.cma_free or 0)  # a device's table is unmovable: pages of CMA can't hold it
    # What is swapped out meanwhile makes room; a quarter, because it comes back compressed, and not all that fills RAM can be swapped
    swappable = sum(swap.size - swap.used for swap in swaps) // 4
    need = disksize // TABLE + HEADROOM
    if available + swappable < need:
        return (
            f"a second device of {format_size(disksize)} takes {format_size(disksize // TABLE)} at once, so {format_size(need)} should be"
            f" free, and {format_size(max(available + swappable, 0))} can be; try again with less in use"
        )
    elsewhere = sum(swap.size - swap.used for swap in swaps if swap.path != old.path)
    if old.used > disksize + elsewhere + max(available - need, 0):
        return f"{format_size(old.used)} are swapped out there, and {format_size(disksize)} would not hold them; choose a larger Size="
    return None


def below_use(limit: int | None, stat: ZramStat) -> str | None:
    if limit and limit < stat.mem_used:
        now = f"the {format_size(stat.mem_used)} that {stat.name} takes now"
        return f"a limit of {format_size(limit)} is less than {now}: every page more would fail"
    return None
