"""Swap beside zram: a disk, a file, zswap; and whether the machine can still hibernate. What harms gets a clear word."""

from __future__ import annotations

from collections.abc import Iterator

from memd.early import Noun, Swap
from memd.policy.swapfill import is_zram
from memd.policy.swappriority import HIGHEST


class Facts(Noun):
    """`zswap`: it is on; None: this kernel has none. `hibernates`: the kernel can, and a resume device is set."""

    swaps: tuple[Swap, ...]
    zswap: bool | None = None
    hibernates: bool = False


class Word(Noun):
    """What is there, what it `costs`, and what `mend`s it. `harms`: memory or time is lost now."""

    rule: str
    what: str
    costs: str
    mend: str
    harms: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.costs}; {self.mend}"


def words(facts: Facts) -> tuple[Word, ...]:
    """Nothing without zram swap: the rest is not memd's."""
    zrams = [swap for swap in facts.swaps if is_zram(swap)]
    others = [swap for swap in facts.swaps if not is_zram(swap)]
    return (*_priorities(zrams, others), *_zswap(facts), *_hibernation(facts, others)) if zrams else ()


def _priorities(zrams: list[Swap], others: list[Swap]) -> Iterator[Word]:
    lowest = min(swap.priority for swap in zrams)
    for swap in (swap for swap in others if swap.priority >= lowest):
        yield Word(
            rule="swap-before-zram",
            what=f"{swap.path} has priority {swap.priority}, zram {lowest}",
            costs="the slower swap is filled " + ("first" if swap.priority > lowest else "in turns with the fast one"),
            mend=f"write pri={max(lowest - 1, -1)} or less in its line of /etc/fstab, or Priority={min(swap.priority + 1, HIGHEST)}"
            " or more in [Zram]",
        )


def _zswap(facts: Facts) -> Iterator[Word]:
    if facts.zswap:
        yield Word(
            rule="zswap-before-zram",
            what="zswap is on (/sys/module/zswap/parameters/enabled)",
            costs="pages are compressed by it first, and once more by zram when they leave it",
            mend="boot with zswap.enabled=0; with swap on a disk zswap alone is a choice too, and then Enabled=no in [Zram]",
        )


def _hibernation(facts: Facts, others: list[Swap]) -> Iterator[Word]:
    if facts.hibernates and not others:
        yield Word(
            rule="no-swap-to-hibernate-to",
            what="a resume device is set, and no swap but zram is on",
            costs="zram is RAM and can't keep the image: the machine can't hibernate",
            mend="switch on the swap that resume= names, with a priority below zram's",
            harms=False,
        )
