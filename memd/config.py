"""memd.conf and its drop-ins -> one frozen Config.

`load` always gives a Config that works: what is wrong stands in its `findings` (file, line, section, key, what would be right), a wrong
value in [Allow NAME] closes that rule, elsewhere the default is taken. `check` is for Reload and `memctl config check`: it refuses whole.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memd import config_zram, ini, units
from memd.config_zram import unknown_key, wrong_value
from memd.early import Finding
from memd.errors import ConfigError, MemdError
from memd.ini import Ini, Value
from memd.kernel.root import Root
from memd.model import AreaCap, Bounds, Config, Level, PressureSettings, Rule, Trigger
from memd.names import GROUP
from memd.policy import owners
from memd.policy.pressure import DEFAULT_RELIEF, DEFAULT_TRIGGERS

HIGHEST_COUNT = 1_000_000
LIMITS = "'system:256M my_cma:50%'"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the field it fills and the parser of its text."""

    field: str
    parse: Callable[[str], object]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= HIGHEST_COUNT:
        raise MemdError(f"{text!r} is no count; write a number from 1 to {HIGHEST_COUNT}")
    return int(text)


def _order(text: str) -> int:
    if not text.removeprefix("-").isdigit() or abs(int(text[:8])) > 10000:
        raise MemdError(f"{text!r} is no priority among rules; write a number from -10000 to 10000")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


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


def _of(total: int) -> Callable[[str], int]:
    """A parser of sizes and of percentages of RAM."""

    def parse(text: str) -> int:
        size = int(units.parse_percent(text) * total) if text.endswith("%") else units.parse_size(text)
        if not size:
            raise MemdError(f"{text!r} is nothing; write a size like 512M or 50% of RAM")
        return size

    return parse


@dataclass(frozen=True, slots=True)
class Limits:
    """What `256M system:64M my_cma:50%` says: of all heaps of the rule together, and of areas."""

    whole: int | None
    areas: tuple[AreaCap, ...]


def _limits(total: int) -> Callable[[str], Limits]:
    def parse(text: str) -> Limits:
        if ":" not in text:
            return Limits(_of(total)(text), ())
        whole = [word for word in text.split() if ":" not in word]
        areas = tuple(_area(word) for word in text.split() if ":" in word)
        if len(whole) > 1 or len({area.heap for area in areas}) < len(areas):
            raise MemdError(f"{text[:60]!r} has two limits for one thing; write one for each heap, as in {LIMITS}")
        return Limits(_of(total)(whole[0]) if whole else None, areas)

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


def _trigger(level: Level) -> Callable[[str], Trigger]:
    def parse(text: str) -> Trigger:
        kind, stall, window = [*text.split(), "", "", ""][:3]
        if kind not in {"some", "full"} or len(text.split()) != 3:
            raise MemdError(f"{text!r} is no PSI trigger; write it like 'some 100ms 1s'")
        trigger = Trigger(kind, units.parse_seconds(stall), units.parse_seconds(window), level)
        if not 0 < trigger.stall <= trigger.window or not 0.5 <= trigger.window <= 10:
            raise MemdError(
                f"{text!r}: the kernel takes windows from 500ms to 10s, and a stall above 0 up to the window"
            )
        return trigger

    return parse


def _refuse_at(text: str) -> Level | None:
    levels = {"low": Level.LOW, "medium": Level.MEDIUM, "critical": Level.CRITICAL, "never": None}
    if text not in levels:
        raise MemdError(f"{text!r} is no pressure level; write low, medium, critical or never")
    return levels[text]


def _deadline(text: str) -> float:
    seconds = units.parse_seconds(text)
    if not 0.1 <= seconds <= 600:
        raise MemdError(f"{text!r} is out of range; write a time from 100ms to 10min")
    return seconds


def _relief(text: str) -> float:
    seconds = units.parse_seconds(text)
    if not 0.5 < seconds <= 600:
        raise MemdError(f"{text!r} is out of range; write a time from 1s to 10min, longer than any window")
    return seconds


def _rule_keys(total: int) -> dict[str, Key]:
    return {
        "Unit": Key("units", _units),
        "User": Key("users", _lookup(_uid, "user")),
        "Group": Key("groups", _lookup(_gid, "group")),
        "Everyone": Key("everyone", config_zram.boolean),
        "Heaps": Key("heaps", _heaps),
        "Priority": Key("priority", _order),
        "MaxBytes": Key("max_bytes", _limits(total)),
        "MaxBuffers": Key("max_buffers", _count),
        "MaxBufferSize": Key("max_buffer_size", _of(total)),
        "TotalBytes": Key("total_bytes", _limits(total)),
        "TotalBuffers": Key("total_buffers", _count),
        "ExemptFromPressure": Key("exempt", config_zram.boolean),
    }


def _lending_keys(total: int) -> dict[str, Key]:
    return {
        "MaxBytes": Key("max_bytes", _of(total)),
        "MaxBuffers": Key("max_buffers", _count),
        "MaxBuffersPerOwner": Key("max_buffers_per_owner", _count),
        "MaxBufferSize": Key("max_buffer_size", _of(total)),
        "Floor": Key("floor", _of(total)),
        "RefuseAt": Key("refuse_at", _refuse_at),
        "Deadline": Key("deadline", _deadline),
    }


PRESSURE_KEYS = {
    "Low": Key("low", _trigger(Level.LOW)),
    "Medium": Key("medium", _trigger(Level.MEDIUM)),
    "Critical": Key("critical", _trigger(Level.CRITICAL)),
    "Relief": Key("relief", _relief),
}
HEAPS_KEYS = {"Any": Key("any", _words)}
HEAP_KEYS = {"Aliases": Key("aliases", _words)}
PLAIN_SECTIONS = ("Zram", "Lending", "Pressure", "Heaps")
NAMED_SECTIONS = ("Allow", "Heap")


def default_bounds(total: int) -> Bounds:
    """Half of RAM lent at most, a quarter in one buffer, and never less than a twentieth (64M at the least) left available."""
    return Bounds(
        max_buffer_size=total // 4,
        max_bytes=total // 2,
        max_buffers=10_000,
        max_buffers_per_owner=1_000,
        floor=max(total // 20, min(64 << 20, total // 4)),
    )


def build(source: Ini, total: int) -> Config:
    """`total`: MemTotal in bytes, what percentages are of."""
    zram, wrong = config_zram.settings(source)
    findings = [*source.findings, *wrong, *_unknown_sections(source)]
    lending = _fields(source, "Lending", _lending_keys(total), findings)
    pressure = _fields(source, "Pressure", PRESSURE_KEYS, findings)
    heaps = _fields(source, "Heaps", HEAPS_KEYS, findings)
    bounds = default_bounds(total)
    defaults = {name: getattr(bounds, name) for name in Bounds.__slots__}
    return Config(
        zram=zram,
        rules=_rules(source, total, findings),
        bounds=Bounds(**(defaults | lending)),
        pressure=_pressure(pressure, source, findings),
        any_heaps=heaps.get("any", ("contiguous", "system")),
        aliases=_aliases(source, findings),
        findings=tuple(findings),
    )


def lacking(config: Config) -> tuple[str, ...]:
    """What the configuration rests on and this machine does not have, a line each."""
    if any(rule.name == GROUP for rule in config.rules):
        return ()
    return (f"no group {GROUP}: by default only root may borrow; run systemd-sysusers, or write [Allow] rules",)


def load(root: Root, total: int, file: str | None = None) -> Config:
    return build(ini.read(root, file), total)


def check(root: Root, total: int, file: str | None = None) -> Config:
    """ConfigError if anything at all is wrong."""
    config = load(root, total, file)
    if config.findings:
        raise ConfigError(config.findings)
    return config


def _fields(source: Ini, section: str, keys: Mapping[str, Key], findings: list[Finding]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in source.sections.get(section, {}).items():
        if key not in keys:
            findings.append(unknown_key(section, key, value, tuple(keys)))
            continue
        try:
            values[keys[key].field] = keys[key].parse(value.text)
        except MemdError as error:
            findings.append(wrong_value(section, key, value, error, "the default is taken"))
    return values


def _rules(source: Ini, total: int, findings: list[Finding]) -> tuple[Rule, ...]:
    rules = []
    for section in source.sections:
        kind, _, name = section.partition(" ")
        if kind == "Allow" and name:
            rule = _rule(source, section, name, total, findings)
            rules += [rule] if rule else []
    return tuple(rules)


def _rule(source: Ini, section: str, name: str, total: int, findings: list[Finding]) -> Rule | None:
    """One wrong value closes the rule: it refuses whom it matches. None for the built-in rule on a machine without its group."""
    keys = _rule_keys(total)
    values: dict[str, Any] = {}
    for key, value in source.sections[section].items():
        if key not in keys:
            findings.append(unknown_key(section, key, value, tuple(keys)))
            continue
        try:
            values[keys[key].field] = keys[key].parse(value.text)
        except MemdError as error:
            if value.file == ini.BUILTIN_FILE:  # no mistake in a file, and told by `lacking`
                return None
            values["closed"] = True
            findings.append(wrong_value(section, key, value, error, "the rule is closed"))
    findings += _spread(values, source.sections[section], section)
    if values.get("closed") and "Heaps" in source.sections[section]:
        values.setdefault("heaps", frozenset({"*"}))
    return Rule(name=name, **values)


def _spread(values: dict[str, Any], given: Mapping[str, Value], section: str) -> Iterator[Finding]:
    """Limits into the fields of a Rule. A limit for a heap that the rule does not name closes it: a typo must not lift a limit."""
    heaps = values.get("heaps", frozenset())
    for key, field in (("MaxBytes", "max_bytes"), ("TotalBytes", "total_bytes")):
        limits: Limits = values.pop(field, Limits(None, ()))
        values |= {field: limits.whole, f"{field}_in": limits.areas}
        strange = [area.heap for area in limits.areas if not heaps & {area.heap, "*"}]
        if strange and (heaps or not values.get("closed")):  # what is wrong with Heaps= itself was told
            named = " ".join(sorted(heaps)) or "none"
            error = MemdError(f"Heaps= of this rule does not name {strange[0][:60]!r}; it names {named}")
            yield wrong_value(section, key, given[key], error, "the rule is closed")
            values["closed"] = True


def _pressure(values: dict[str, Any], source: Ini, findings: list[Finding]) -> PressureSettings:
    triggers = {trigger.level: trigger for trigger in DEFAULT_TRIGGERS}
    triggers |= {Level[name.upper()]: values[name] for name in ("low", "medium", "critical") if name in values}
    window = max(trigger.window for trigger in triggers.values())
    relief = values.get("relief", max(DEFAULT_RELIEF, window * 2))
    if relief <= window:
        value = source.sections["Pressure"]["Relief"]
        message = f"{value.text} is not longer than the longest window ({units.format_seconds(window)}); {2 * window:g}s is taken"
        findings.append(Finding(file=value.file, line=value.line, section="Pressure", key="Relief", message=message))
        relief = 2 * window
    return PressureSettings(tuple(triggers[level] for level in sorted(triggers)), relief)


def _aliases(source: Ini, findings: list[Finding]) -> dict[str, tuple[str, ...]]:
    found = {}
    for section in source.sections:
        kind, _, name = section.partition(" ")
        if kind == "Heap" and name:
            found[name] = _fields(source, section, HEAP_KEYS, findings).get("aliases", ())
    return found


def _unknown_sections(source: Ini) -> list[Finding]:
    known = ", ".join([f"[{name}]" for name in PLAIN_SECTIONS] + [f"[{name} NAME]" for name in NAMED_SECTIONS])
    found = []
    for section, place in source.places.items():
        kind, _, name = section.partition(" ")
        if not (section in PLAIN_SECTIONS or (kind in NAMED_SECTIONS and name)):
            message = f"no such section; memd knows {known}"
            found.append(
                Finding(file=place.file, line=place.line, section=section, key="", message=message, severity="warning")
            )
    return found
