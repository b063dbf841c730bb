"""The [Allow NAME] sections: who may borrow from which heaps, and how much. A wrong value closes its rule: it refuses whom it matches."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from memd import config_keys, ini, units
from memd.config_keys import Key, Section, boolean
from memd.config_values import count, size_of
from memd.early import Finding, Noun
from memd.errors import MemdError
from memd.ini import Ini, Value
from memd.model import AreaCap, Rule
from memd.policy import owners

LIMITS = "'system:256M my_cma:50%'"
OWN_LIMIT = "Without it only [Lending] limits this."


def _order(text: str) -> int:
    if not text.removeprefix("-").isdigit() or abs(int(text[:8])) > 10000:
        raise MemdError(f"{text!r} is no priority among rules; write a number from -10000 to 10000")
    return int(text)


def _heaps(text: str) -> frozenset[str]:
    for word in text.split():
        if "/" in word or len(word) > 255:
            raise MemdError(
                f"{word[:60]!r} is no name of a heap; write names as `memctl heaps` shows them, as in 'system my_cma'"
            )
    return frozenset(text.split())


def _units(text: str) -> frozenset[str]:
    for word in text.split():
        if not owners.is_unit(word):
            raise MemdError(
                f"{word[:60]!r} is no unit that programs run in; write its whole name, as in camera.service"
            )
        if owners.of(word, 0)[1] is None:
            raise MemdError(f"{word[:60]!r} is a user's manager: what runs in it is the user's; write User= instead")
    return frozenset(text.split())


class Limits(Noun):
    """What `256M system:64M my_cma:50%` says: of all heaps of the rule together, and of areas."""

    whole: int | None
    areas: tuple[AreaCap, ...]


def _limits(total: int) -> Callable[[str], Limits]:
    def parse(text: str) -> Limits:
        if ":" not in text:
            return Limits(size_of(total)(text), ())
        whole = [word for word in text.split() if ":" not in word]
        areas = tuple(_area(word) for word in text.split() if ":" in word)
        if len(whole) > 1 or len({area.heap for area in areas}) < len(areas):
            raise MemdError(f"{text[:60]!r} has two limits for one thing; write one for each heap, as in {LIMITS}")
        return Limits(size_of(total)(whole[0]) if whole else None, areas)

    return parse


def _area(word: str) -> AreaCap:
    heap, _, limit = word.rpartition(":")
    if not (heap and limit):
        raise MemdError(f"{word[:60]!r} is no limit of a heap; write it like {LIMITS}")
    share = units.parse_percent(limit) if limit.endswith("%") else None
    size = units.parse_size(limit) if share is None else None
    if not (size or share):
        raise MemdError(f"{word[:60]!r} is nothing; leave the heap out of Heaps=, or write it like {LIMITS}")
    return AreaCap(heap, size, share)


def _lookup(find: Callable[[str], int], what: str) -> Callable[[str], frozenset[int]]:
    def parse(text: str) -> frozenset[int]:
        try:
            return frozenset(int(word) if word.isdigit() else find(word) for word in text.split())
        except KeyError as error:
            raise MemdError(
                f"there is no {what} {str(error.args[0])[-40:]}; make it first, or write its number"
            ) from None

    return parse


def _uid(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _gid(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _matching() -> tuple[Key, ...]:
    return (
        Key(
            name="Unit",
            field="units",
            parse=_units,
            what="System units that the rule is for, by their whole names (`camera.service`, `camera@0.service`), separated by spaces. What"
            " runs in a user's session or service manager is the user's, whatever its units are called. Needs a bus that tells the process"
            " of a caller (dbus 1.15.8, dbus-broker 35, on Linux 6.5); elsewhere it matches nobody, and `memctl status` says so.",
        ),
        Key(
            name="User",
            field="users",
            parse=_lookup(_uid, "user"),
            what="Users that the rule is for, by name or number, separated by spaces.",
        ),
        Key(
            name="Group",
            field="groups",
            parse=_lookup(_gid, "group"),
            what="Groups that the rule is for, by name or number, separated by spaces.",
        ),
        Key(
            name="Everyone",
            field="everyone",
            parse=boolean,
            what="Whether the rule is for everyone.",
            default="no",
        ),
        Key(
            name="Heaps",
            field="heaps",
            parse=_heaps,
            what="The heaps that may be used, by the names and other names that `memctl heaps` shows, separated by spaces, or `*` for all."
            " A heap whose region belongs to a driver has to be named by its very name, one whose memory can be pinned (old kernels) by any"
            " of its names. Without it the rule lets nobody use any.",
        ),
        Key(
            name="Priority",
            field="priority",
            parse=_order,
            what="Order among rules that are equally specific, -10000 to 10000.",
            default="0",
        ),
    )


def _limiting(total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="MaxBytes",
            field="max_bytes",
            parse=_limits(total),
            what="Memory lent to one owner at one time by this rule: a size or a share of RAM for all its heaps together, limits of heaps"
            " as in `system:256M my_cma:50%`, or both. A share of a CMA heap is one of its area. Two heaps of one area are one, whichever"
            f" name the limit has; the name has to stand in `Heaps=` too. {OWN_LIMIT}",
        ),
        Key(
            name="MaxBuffers",
            field="max_buffers",
            parse=count,
            what=f"Buffers lent to one owner at one time by this rule. {OWN_LIMIT}",
        ),
        Key(
            name="MaxBufferSize",
            field="max_buffer_size",
            parse=size_of(total),
            what=f"The largest buffer, a size or a share of RAM. {OWN_LIMIT}",
        ),
        Key(
            name="TotalBytes",
            field="total_bytes",
            parse=_limits(total),
            what=f"Memory lent by this rule at one time to all its owners together, written like `MaxBytes=`. {OWN_LIMIT}",
        ),
        Key(
            name="TotalBuffers",
            field="total_buffers",
            parse=count,
            what=f"Buffers lent by this rule at one time to all its owners together. {OWN_LIMIT}",
        ),
        Key(
            name="ExemptFromPressure",
            field="exempt",
            parse=boolean,
            what="Whether the rule lends also at a pressure level where others are refused (`RefuseAt=`). The floor still holds.",
            default="no",
        ),
    )


SECTION = Section(
    name="Allow",
    keys=lambda total: (*_matching(), *_limiting(total)),
    what="One rule each: who may borrow from which heaps, and how much. Of the rules that match the caller and the heap the most specific"
    " decides: one that names the unit before one that names the user, before one that names a group of theirs, before one for everyone;"
    " among equals the higher `Priority=`, then the name. Where no rule matches, root may borrow, and nobody else.\n"
    "A rule `dmaheap` is built in: members of group `dmaheap` may use heap `system`. A section `[Allow dmaheap]` changes it; an empty"
    " `Group=` closes it. A rule with several of `Unit=`, `User=`, `Group=` and `Everyone=` is for all of them.",
    named=True,
    instead="the rule is closed",
)


def rules(source: Ini, total: int, findings: list[Finding]) -> tuple[Rule, ...]:
    found = [_rule(source, place, name, total, findings) for place, name in config_keys.places(source, SECTION)]
    return tuple(rule for rule in found if rule)


def _rule(source: Ini, place: str, name: str, total: int, findings: list[Finding]) -> Rule | None:
    """None for the built-in rule on a machine without its group: no mistake in a file, and told by `config.lacking`."""
    wrong: list[Finding] = []
    values = config_keys.read(source, place, SECTION, total, wrong)
    if any(finding.file == ini.BUILTIN_FILE for finding in wrong):
        return None
    values["closed"] = any(finding.severity == "error" for finding in wrong)
    findings += [*wrong, *_spread(values, source.sections[place], place)]
    if values["closed"] and "Heaps" in source.sections[place]:
        values.setdefault("heaps", frozenset({"*"}))
    return Rule(name=name, **values)


def _spread(values: dict[str, Any], given: Mapping[str, Value], place: str) -> Iterator[Finding]:
    """Limits into the fields of a Rule. A limit for a heap that the rule does not name closes it: a typo must not lift a limit."""
    heaps = values.get("heaps", frozenset())
    for key, field in (("MaxBytes", "max_bytes"), ("TotalBytes", "total_bytes")):
        limits: Limits = values.pop(field, Limits(None, ()))
        values |= {field: limits.whole, f"{field}_in": limits.areas}
        strange = [area.heap for area in limits.areas if not heaps & {area.heap, "*"}]
        if strange and (heaps or not values["closed"]):  # what is wrong with Heaps= itself was told
            named = " ".join(sorted(heaps)) or "none"
            error = MemdError(f"Heaps= of this rule does not name {strange[0][:60]!r}; it names {named}")
            yield config_keys.wrong_value(place, key, given[key], error, SECTION.instead)
            values["closed"] = True
