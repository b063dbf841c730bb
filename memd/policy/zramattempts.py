"""Which algorithms a zram device is tried with, and in what order, until its kernel takes one. Pure, and on the early path."""

from __future__ import annotations

from memd.early import Noun, ZramSettings, ZramStat
from memd.policy.zramalgorithm import name, parameters


class Attempt(Noun):
    """`algorithm`, and `recompress`, the secondary ones by priority from 1 on, as `zstd(level=3)`."""

    algorithm: str
    recompress: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " and then ".join((self.algorithm, *self.recompress))


def attempts(settings: ZramSettings, stat: ZramStat) -> tuple[tuple[Attempt, ...], tuple[str, ...]]:
    """(all that is worth a try, at least one; notes). Each algorithm as it is asked for, then without parameters, then without secondary
    ones; at last the kernel's own. `stat`: the empty device."""
    first = [each for each in settings.algorithms if name(each) in stat.algorithms]
    second = tuple(each for each in settings.recompress if name(each) in stat.algorithms)
    notes = [
        f"this kernel does not offer {name(each)}; it is no secondary algorithm"
        for each in settings.recompress
        if each not in second
    ]
    if settings.algorithms and not first:
        wanted = " ".join(settings.algorithms)
        notes.append(f"this kernel offers none of {wanted}; its own {stat.algorithm} is taken")
    own = [] if stat.algorithm in map(name, first) else [stat.algorithm]
    found = list(dict.fromkeys(attempt for each in (*first, *own) for attempt in _less_and_less(each, second)))
    while parameters(found[-1].algorithm) or found[-1].recompress:  # its plain form stands further up
        found.pop()
    return tuple(found), tuple(notes)


def _less_and_less(algorithm: str, recompress: tuple[str, ...]) -> tuple[Attempt, ...]:
    return (
        Attempt(algorithm=algorithm, recompress=recompress),
        Attempt(algorithm=name(algorithm), recompress=tuple(map(name, recompress))),
        Attempt(algorithm=name(algorithm)),
    )
