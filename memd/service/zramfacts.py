"""What GetStatus says of a zram device beside mm_stat: counters, backing device, secondary algorithms, what maintenance won, a forecast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memd.early import MemInfo, Noun, Swap, ZramStat
from memd.errors import BadKernelFile
from memd.kernel import zramcare
from memd.kernel.root import Root
from memd.policy import swapfill

SHOWN = ("compacted", "huge_since", "failed_reads", "failed_writes")
BACKING = ("backed", "read_back", "written_back")  # without a backing device they are 0 and tell nothing


class Extra(Noun):
    """One device, beside its ZramStat."""

    counters: dict[str, int]
    backing: str | None = None
    backing_size: int | None = None
    recompressors: tuple[str, ...] = ()


def read(root: Root, stats: Iterable[ZramStat]) -> dict[str, Extra]:
    """Device -> what there is more to say. Blocking. A device that goes meanwhile, or that says nonsense, is left out."""
    found = {}
    for stat in stats:
        try:
            found[stat.name] = _one(root, stat.name)
        except (OSError, BadKernelFile):
            continue
    return found


def _one(root: Root, name: str) -> Extra:
    backing = zramcare.backing_device(root, name)
    values = dict(vars(zramcare.counters(root, name)))
    names = (*SHOWN, *BACKING) if backing else SHOWN
    return Extra(
        counters={key: values[key] for key in names if values[key] is not None},
        backing=backing,
        backing_size=zramcare.backing_size(root, backing) if backing else None,
        recompressors=tuple(zramcare.recompressors(root, name).values()),
    )


def facts(extra: Extra | None) -> dict[str, object]:
    """By the names of GetStatus."""
    if extra is None:
        return {}
    known: dict[str, object] = {**extra.counters}
    if extra.backing:
        known["backing_device"] = extra.backing
    if extra.backing_size:
        known["backing_size"] = extra.backing_size
    if extra.recompressors:
        known["recompressors"] = list(extra.recompressors)
    return known


def forecast(memory: MemInfo, swaps: Sequence[Swap], stat: ZramStat) -> dict[str, object]:
    """`room`: bytes of pages that the device could still take at today's ratio, in its own size, its limit and the RAM that is available;
    nothing for a device that is no swap."""
    for swap in swaps:
        if swap.path.rpartition("/")[2] == stat.name:
            return {"room": min(max(swap.size - swap.used, 0), swapfill.room(stat, memory.available))}
    return {}
