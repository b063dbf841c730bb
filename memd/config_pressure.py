"""The [Pressure] section: which stalls mean which level, and how long one lasts."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

from memd import config_keys, config_values
from memd.config_keys import Key, Section
from memd.early import Finding
from memd.errors import MemdError
from memd.ini import Ini
from memd.model import Level, PressureSettings, Trigger
from memd.policy.pressure import DEFAULT_HOLD, DEFAULT_RELIEF, DEFAULT_TRIGGERS
from memd.units import format_seconds, parse_seconds

LEVEL_KEYS = 5  # of the keys of [Pressure] those that a unit has too: Low, Medium, Critical, Relief, Hold
MOST_UNITS = 64
WATCHED_KINDS = ("service", "slice", "socket", "mount", "swap")
UNIT_KINDS = ("service", "target", "timer", "path", "socket", "mount", "slice", "swap")
UNIT_CHARACTERS = frozenset(string.ascii_letters + string.digits + ":-_.\\@")


def _trigger(level: Level) -> Callable[[str], Trigger]:
    def parse(text: str) -> Trigger:
        kind, stall, window = [*text.split(), "", "", ""][:3]
        if kind not in {"some", "full"} or len(text.split()) != 3:
            raise MemdError(f"{text!r} is no PSI trigger; write it like 'some 100ms 1s'")
        trigger = Trigger(kind, parse_seconds(stall), parse_seconds(window), level)
        if not 0 < trigger.stall <= trigger.window or not 0.5 <= trigger.window <= 10:
            raise MemdError(
                f"{text!r}: the kernel takes windows from 500ms to 10s, and a stall above 0 up to the window"
            )
        return trigger

    return parse


def _relief(text: str) -> float:
    seconds = parse_seconds(text)
    if not 0.5 < seconds <= 600:
        raise MemdError(f"{text!r} is out of range; write a time from 1s to 10min, longer than any window")
    return seconds


def _keys(_total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Low",
            field="low",
            parse=_trigger(Level.LOW),
            what="The trigger of level low.",
            default="some 100ms 1s",
        ),
        Key(
            name="Medium",
            field="medium",
            parse=_trigger(Level.MEDIUM),
            what="The trigger of level medium.",
            default="some 250ms 1s",
        ),
        Key(
            name="Critical",
            field="critical",
            parse=_trigger(Level.CRITICAL),
            what="The trigger of level critical.",
            default="full 100ms 1s",
        ),
        Key(
            name="Relief",
            field="relief",
            parse=_relief,
            what="Time without an event after which a level is given back; longer than any window, at most 10min. The default becomes twice"
            " the longest window if that is more.",
            default="4s",
        ),
        Key(
            name="Hold",
            field="hold",
            parse=config_values.seconds(0, 10, "from 0 to 10s"),
            what="The least time between two changes of level. A rise that comes within it is told at its end, so keep it below the windows"
            " of the triggers; 0 tells each rise at once.",
            default="500ms",
        ),
        Key(
            name="LowMemoryMonitor",
            field="low_memory_monitor",
            parse=config_keys.boolean,
            what="Whether memd is `org.freedesktop.LowMemoryMonitor` on the bus too, so that programs with GLib's GMemoryMonitor hear it."
            " If another program has that name, memd says so and runs without it.",
            default="yes",
        ),
        _unit_key(Level.LOW, "when pressure reaches low, or passes it on its way up"),
        _unit_key(Level.MEDIUM, "when pressure reaches medium, or passes it on its way up"),
        _unit_key(Level.CRITICAL, "when pressure reaches critical"),
        _unit_key(Level.NONE, "when pressure is over"),
    )


def _unit(text: str) -> str:
    """A whole name that systemd would take: it gets what stands here, and nothing more."""
    name, dot, kind = text.rpartition(".")
    good = name.strip("@") and dot and kind in UNIT_KINDS and len(text) <= 255 and set(text) <= UNIT_CHARACTERS
    if not good:
        raise MemdError(f"{text[:60]!r} is no unit to start; write its whole name, as in drop-caches.service")
    return text


def _unit_key(level: Level, when: str) -> Key:
    return Key(
        name=f"{str(level).capitalize()}Unit",
        field=f"{level}_unit",
        parse=_unit,
        what=f"The unit that systemd starts {when}. None is started by default.",
    )


SECTION = Section(
    name="Pressure",
    keys=_keys,
    what="Each level has a trigger of the kernel (`/proc/pressure/memory`): `some` (at least one task waits) or `full` (nothing useful"
    " runs), the time stalled, and the window that it is counted in, 500ms to 10s. A level goes up at once, and down step by step.",
)


def _level_keys(total: int) -> tuple[Key, ...]:
    return _keys(total)[:LEVEL_KEYS]


UNIT = Section(
    name="Pressure",
    keys=_level_keys,
    what="The same for one unit of systemd (`[Pressure camera.service]`, `[Pressure user.slice]`), by the stalls of its cgroup alone."
    " Its level is told as signal `UnitPressureChanged` and in the journal.",
    named=True,
)


def settings(source: Ini, findings: list[Finding]) -> PressureSettings:
    values: dict[str, Any] = config_keys.read(source, SECTION.name, SECTION, 0, findings)
    triggers, relief, hold = _level(source, SECTION.name, values, findings)
    return PressureSettings(
        triggers=triggers,
        relief=relief,
        hold=hold,
        low_memory_monitor=values.get("low_memory_monitor", True),
        units={level: values[f"{level}_unit"] for level in Level if f"{level}_unit" in values},
    )


def units(source: Ini, findings: list[Finding]) -> dict[str, PressureSettings]:
    """What is watched of single units; a name that is none is left out, and told."""
    found: dict[str, PressureSettings] = {}
    for place, name in config_keys.places(source, UNIT):
        values: dict[str, Any] = config_keys.read(source, place, UNIT, 0, findings)
        if len(found) == MOST_UNITS or not _is_watched(name):
            findings.append(_no_unit(source, place, name))
        else:
            found[name] = PressureSettings(*_level(source, place, values, findings))
    return found


def _level(
    source: Ini, place: str, values: dict[str, Any], findings: list[Finding]
) -> tuple[tuple[Trigger, ...], float, float]:
    """Triggers, relief and hold of one section."""
    triggers = {trigger.level: trigger for trigger in DEFAULT_TRIGGERS}
    triggers |= {Level[name.upper()]: values[name] for name in ("low", "medium", "critical") if name in values}
    window = max(trigger.window for trigger in triggers.values())
    relief = values.get("relief", max(DEFAULT_RELIEF, window * 2))
    if relief <= window:
        findings.append(_too_short(source, place, window))
        relief = 2 * window
    return tuple(triggers[level] for level in sorted(triggers)), relief, min(values.get("hold", DEFAULT_HOLD), relief)


def _is_watched(name: str) -> bool:
    """A unit that has a cgroup."""
    try:
        return _unit(name).rpartition(".")[2] in WATCHED_KINDS
    except MemdError:
        return False


def _no_unit(source: Ini, place: str, name: str) -> Finding:
    value = source.places[place]
    message = (
        f"{name[:60]!r} is no unit with a cgroup, or more than {MOST_UNITS} are named; write its whole name, as in"
        " [Pressure camera.service]; the section is ignored"
    )
    return Finding(file=value.file, line=value.line, section=place, key="", message=message)


def _too_short(source: Ini, place: str, window: float) -> Finding:
    value = source.sections[place]["Relief"]
    longest = format_seconds(window)
    error = MemdError(f"{value.text} is not longer than the longest window ({longest})")
    return config_keys.wrong_value(place, "Relief", value, error, f"{2 * window:g}s is taken")
