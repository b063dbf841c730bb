"""How much may still be written to flash today, so that in no 24 hours more is written than allowed: not across restarts, not across a
power cut, not with a clock that jumps, not with suspend.

Time is lived time: what has surely passed since the first round. Within one boot the kernel's clock with suspend tells it; time switched
off is not counted, since only the wall clock knows it, and that is wrong on many boards. So the budget is rather too small than too large.
What will be written is promised (and kept on disk) before it is, and settled afterwards.
"""

from __future__ import annotations

from memd.early import replace
from memd.model_care import Spent, Wear

DAY = 24 * 3600.0
MOST = 100


def resumed(wear: Wear, boot: str, since_boot: float) -> Wear:
    """What was kept, as of now. What a memd that died had promised counts as written, now."""
    same = bool(boot) and boot == wear.boot and since_boot >= wear.since_boot
    lived = wear.lived + (since_boot - wear.since_boot if same else 0.0)
    spent = tuple(Spent(lived, entry.size) if entry.open or entry.at > lived else entry for entry in wear.spent)
    return _pruned(Wear(lived, boot, since_boot, spent))


def lost(boot: str, since_boot: float, per_day: int) -> Wear:
    """Nobody knows what was written: a whole day's budget is taken to be."""
    return Wear(0.0, boot, since_boot, (Spent(0.0, per_day),))


def aged(wear: Wear, since_boot: float) -> Wear:
    """The same, later in the same boot."""
    passed = max(since_boot - wear.since_boot, 0.0)
    return replace(wear, lived=wear.lived + passed, since_boot=wear.since_boot + passed)


def left(wear: Wear, per_day: int) -> int:
    """Bytes that may be written now."""
    return max(per_day - sum(entry.size for entry in wear.spent if wear.lived - entry.at <= DAY), 0)


def promised(wear: Wear, size: int, per_day: int) -> Wear:
    """With `size` bytes that are going to be written. ValueError for more than is left: it must not be asked."""
    if not 0 <= size <= left(wear, per_day):
        raise ValueError(f"{size} bytes are more than the {left(wear, per_day)} that are left today")
    return replace(wear, spent=(*wear.spent, Spent(wear.lived, size, open=True)))


def settled(wear: Wear, written: int) -> Wear:
    """What was promised has become `written`, at the latest now."""
    closed = tuple(entry for entry in wear.spent if not entry.open)
    return _pruned(replace(wear, spent=(*closed, Spent(wear.lived, written)) if written > 0 else closed))


def _pruned(wear: Wear) -> Wear:
    """Without what is more than a day old; and never more entries than a day can have rounds."""
    entries = [entry for entry in wear.spent if entry.open or wear.lived - entry.at <= DAY]
    while len(entries) > MOST:  # the two oldest as one, of the later time: rather too much than too little
        first, second = entries[:2]
        entries[:2] = [Spent(max(first.at, second.at), first.size + second.size, first.open or second.open)]
    return replace(wear, spent=tuple(entries))
