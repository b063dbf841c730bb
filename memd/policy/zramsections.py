"""Which zram device belongs to which section of memd.conf. Pure, and on the early path.

The label in the swap signature says it; a device's number says nothing, because a live change moves to another one.
"""

from __future__ import annotations

from memd.early import MemInfo, Noun, Swap, ZramOutcome, ZramStat

LABEL = "memd"


class Facts(Noun):
    """The machine before anything is done. `swaps` None: a kernel without swap; `control`: zram is there; `container`: its name.
    `sections`: the names of all devices that are wanted; `labels`: what stands in the signature of each of `stats`, "" without one,
    None where nobody can tell; empty for a single section."""

    memory: MemInfo
    stats: tuple[ZramStat, ...]
    swaps: tuple[Swap, ...] | None
    container: str | None
    control: bool
    page: int
    sections: tuple[str, ...] = ("",)
    labels: tuple[str | None, ...] = ()


def title(section: str) -> str:
    return f"[Zram {section}]" if section else "[Zram]"


def label(section: str) -> str:
    """What the signature of a section's device says."""
    return f"{LABEL}-{section}" if section else LABEL


def is_ours(found: str | None) -> bool:
    return found == LABEL or (found or "").startswith(f"{LABEL}-")


def devices_of(facts: Facts) -> dict[str, str]:
    """section -> the device that is its swap now: by the label in the signature; where labels can't be read, in their order; and the
    first section has what no label claims, because somebody else has set it up."""
    labels = dict(zip((stat.name for stat in facts.stats), facts.labels, strict=False))
    active = [stat.name for stat, _ in active_zram(facts.stats, facts.swaps or ())]
    found: dict[str, str] = {}
    for section in facts.sections:
        mine = [name for name in active if labels.get(name) == label(section)]
        found |= {section: mine[-1]} if mine else {}
    unread = [name for name in active if labels.get(name, "") is None]
    for section in facts.sections:
        if section not in found and unread:
            found[section] = unread.pop(0)
    foreign = [name for name in active if name not in found.values() and not is_ours(labels.get(name))]
    if "" in facts.sections and foreign:
        found.setdefault("", foreign[0])
    return found


def zram_name(swap: Swap) -> str | None:
    """`zram0` of a zram swap, however its path is shown from here; None for any other."""
    name = swap.path.rpartition("/")[2]
    return name if swap.kind == "partition" and name.startswith("zram") and name[4:].isdecimal() else None


def active_zram(stats: tuple[ZramStat, ...], swaps: tuple[Swap, ...]) -> tuple[tuple[ZramStat, Swap], ...]:
    """Each zram device that is swap now."""
    by_name = {stat.name: stat for stat in stats}
    return tuple((by_name[name], swap) for swap in swaps if (name := zram_name(swap)) in by_name)


def all_of(facts: Facts, section: str) -> list[str]:
    """The section's devices that are swap now, the one that is its own last: a live change that was cut short leaves two."""
    labels = dict(zip((stat.name for stat in facts.stats), facts.labels, strict=False))
    own = devices_of(facts).get(section)
    others = [
        stat.name for stat, _ in active_zram(facts.stats, facts.swaps or ()) if labels.get(stat.name) == label(section)
    ]
    return [name for name in others if name != own] + ([own] if own else [])


def together(outcomes: tuple[ZramOutcome, ...]) -> ZramOutcome:
    """One outcome of several devices: the worst of what failed, else the best of what is on; the first device's facts."""
    if len(outcomes) == 1:
        return outcomes[0]
    states = [outcome.state for outcome in outcomes]
    state = next(each for each in ("failed", "active", "adopted", "off") if each in states)
    notes = tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes))
    reason = "; ".join(outcome.reason for outcome in outcomes)
    return ZramOutcome(**{**vars(outcomes[0]), "state": state, "reason": reason, "notes": notes})
