"""Sets what swap lives by while zram is swap, and puts it back when zram goes. What was before stands in /run, so that it outlives memd.

Called once swap is set up, at each swapon and swapoff, and at a reload; blocking, and short. A boot waits for it: json, and what
stands on re, are imported only where there is something to read with them.
"""

from __future__ import annotations

import errno
import os

from memd.early import SwapSettings
from memd.errors import BadKernelFile
from memd.kernel import swaps, sysctl
from memd.kernel.root import Root
from memd.policy import swaptune, zramsections
from memd.policy.swaptune import Kept

KEPT = "run/memd/sysctl.json"
OLDER = 100  # the most swappiness before 5.8


def apply(root: Root, settings: SwapSettings) -> tuple[str, ...]:
    """What was changed and what could not be, a sentence each. Nothing raised: swap works without it."""
    try:
        return _apply(root, settings)
    except (OSError, BadKernelFile) as error:
        return (f"settings of swap are left as they are: {error}",)


def _apply(root: Root, settings: SwapSettings) -> tuple[str, ...]:
    kept = _read(root)
    active = swaps.read(root) or ()
    zrams = [swap for swap in active if zramsections.zram_name(swap)]
    zram = bool(zrams)
    if not zram and not kept:
        return ()  # not memd's machine to tune
    now = {key: value for key in swaptune.KEYS if (value := sysctl.read(root, key)) is not None}
    spoken = sysctl.spoken(root, tuple(now))
    facts = swaptune.Facts(zram=zram, other=len(zrams) < len(active), now=now, spoken=frozenset(spoken))
    plan = swaptune.decide(settings, facts, kept)
    if plan.kept != kept:
        _write(root, plan.kept | {key: kept[key] for key in plan.writes if key in kept and key not in plan.kept})
    told = [_set(root, key, value, plan.kept, now[key]) for key, value in plan.writes.items()]
    if plan.kept != kept or told:
        _write(root, plan.kept)
    return tuple(sentence for sentence in told if sentence)


def _set(root: Root, key: str, value: int, kept: dict[str, Kept], now: int) -> str:
    """The sentence; "" where an older kernel has the most that it takes. What could not be set is not remembered as set."""
    name = key.replace("/", ".")
    try:
        value = _written(root, key, value)
    except OSError as error:
        kept.pop(key, None)
        return f"{name} can't be set to {value} ({error.strerror})"
    if key not in kept:
        return f"{name} is {value} again, as it was before zram"
    kept[key] = Kept(before=kept[key].before, set=value)
    return f"{name} is {value} now, and was {kept[key].before}" if value != now else ""


def _written(root: Root, key: str, value: int) -> int:
    try:
        sysctl.write(root, key, value)
    except OSError as error:
        if error.errno != errno.EINVAL or key != swaptune.SWAPPINESS or value <= OLDER:
            raise
        sysctl.write(root, key, OLDER)
        return OLDER
    return value


def _read(root: Root) -> dict[str, Kept]:
    """What was there before; nothing where the file makes no sense: then nothing is put back."""
    text = root.read(KEPT)
    if text is None:
        return {}
    import json

    try:
        values = json.loads(text or "{}")
        return {
            key: Kept(before=int(entry["before"]), set=int(entry["set"]), ours=bool(entry["ours"]))
            for key, entry in values.items()
            if key in swaptune.KEYS
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(root: Root, kept: dict[str, Kept]) -> None:
    """Whole or not at all. It is there before a value is changed: what a killed memd has changed can be put back."""
    path = root.path(KEPT)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    entries = (
        f'"{key}": {{"before": {entry.before}, "set": {entry.set}, "ours": {"true" if entry.ours else "false"}}}'
        for key, entry in kept.items()
    )
    with open(f"{path}.new", "w") as file:
        file.write(f"{{{', '.join(entries)}}}")
    os.rename(f"{path}.new", path)
