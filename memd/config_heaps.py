"""The [Heaps] and [Heap NAME] sections: what heaps are called."""

from __future__ import annotations

from memd import config_keys
from memd.config_keys import Key, Section
from memd.config_values import words
from memd.early import Finding
from memd.ini import Ini

DEFAULT_ANY = ("contiguous", "system")


def _all_keys(_total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Any",
            field="any",
            parse=words,
            what="What heap name `any` means: a list of heaps in order of preference. A heap whose region belongs to a driver is left out.",
            default=" ".join(DEFAULT_ANY),
        ),
    )


def _keys(_total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Aliases",
            field="aliases",
            parse=words,
            what="Further names for the heap NAME, separated by spaces. Heaps that have a name in common are tried in turn. A heap whose"
            " region belongs to a driver is not reached by them.",
        ),
    )


HEAPS = Section(name="Heaps", keys=_all_keys, what="All heaps.")
HEAP = Section(name="Heap", keys=_keys, what="One heap, by its own name.", named=True)


def any_heaps(source: Ini, findings: list[Finding]) -> tuple[str, ...]:
    found: tuple[str, ...] = config_keys.read(source, HEAPS.name, HEAPS, 0, findings).get("any", DEFAULT_ANY)
    return found


def aliases(source: Ini, findings: list[Finding]) -> dict[str, tuple[str, ...]]:
    return {
        name: config_keys.read(source, place, HEAP, 0, findings).get("aliases", ())
        for place, name in config_keys.places(source, HEAP)
    }
