"""What vm.swappiness and its like should be: memd's where zram is swap and nobody else has said anything, and what they
were when zram goes."""

from __future__ import annotations

from memd.early import Noun, SwapSettings

KEYS = {
    "vm/swappiness": "swappiness",
    "vm/page-cluster": "page_cluster",
    "vm/watermark_scale_factor": "watermark_scale_factor",
    "vm/watermark_boost_factor": "watermark_boost_factor",
}
ONLY_ZRAM = frozenset({"vm/page-cluster"})
SWAPPINESS, DISKS = "vm/swappiness", 100  # with a disk beside it, swapping is not cheaper than reading files


class Kept(Noun):
    """What was before memd set it, and to what. `ours` False: somebody set it anew since, and it is left to him."""

    before: int
    set: int
    ours: bool = True


class Facts(Noun):
    """`zram`, `other`: what is swap now; `now`: values by key, without those that this kernel lacks; `spoken`: keys that the
    administrator has said something of."""

    zram: bool
    other: bool
    now: dict[str, int]
    spoken: frozenset[str] = frozenset()


class Plan(Noun):
    """`writes`: values to set; `kept`: what to remember then."""

    writes: dict[str, int]
    kept: dict[str, Kept]


def decide(settings: SwapSettings, facts: Facts, kept: dict[str, Kept]) -> Plan:
    """Idempotent: what it plans, done, gives an empty plan."""
    writes: dict[str, int] = {}
    keep: dict[str, Kept] = {}
    for key, now in facts.now.items():
        value, entry = _one(_wanted(settings, facts, key), now, kept.get(key))
        if value is not None and value != now:
            writes[key] = value
        if entry is not None:
            keep[key] = entry
    return Plan(writes=writes, kept=keep)


def _wanted(settings: SwapSettings, facts: Facts, key: str) -> int | None:
    """memd's value; None where it has no say."""
    value: int | None = getattr(settings, KEYS[key])
    if not facts.zram or key in facts.spoken or (facts.other and key in ONLY_ZRAM):
        return None
    return min(value, DISKS) if value is not None and key == SWAPPINESS and facts.other else value


def _one(wanted: int | None, now: int, kept: Kept | None) -> tuple[int | None, Kept | None]:
    """(what to write, what to remember)."""
    if kept is not None and (not kept.ours or now != kept.set):
        given_up = Kept(before=kept.before, set=kept.set, ours=False)
        return None, given_up if wanted is not None else None
    if wanted is None:
        return (kept.before, None) if kept else (None, None)
    if kept is None and now == wanted:
        return None, None
    return wanted, Kept(before=kept.before if kept else now, set=wanted)
