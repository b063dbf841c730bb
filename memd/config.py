"""memd.conf and its drop-ins -> one frozen Config. Each section has a file of its own, `config_*.py`; SECTIONS lists them.

`load` always gives a Config that works: what is wrong stands in its `findings` (file, line, section, key, what would be right), a wrong
value in [Allow NAME] closes that rule, elsewhere the default is taken. `check` is for Reload and `memctl config check`: it refuses whole.
"""

from __future__ import annotations

from memd import (
    config_allow,
    config_heaps,
    config_lending,
    config_maintenance,
    config_pools,
    config_pressure,
    config_swap,
    config_zram,
    ini,
)
from memd.config_keys import Section
from memd.early import Finding
from memd.errors import ConfigError
from memd.ini import Ini
from memd.kernel.root import Root
from memd.model import Config
from memd.names import GROUP

SECTIONS: tuple[Section, ...] = (
    config_zram.SECTION,
    config_zram.NAMED,
    config_lending.SECTION,
    config_allow.SECTION,
    config_pressure.SECTION,
    config_pressure.UNIT,
    config_swap.SECTION,
    config_maintenance.SECTION,
    config_heaps.HEAPS,
    config_heaps.HEAP,
    config_pools.SECTION,
)


def build(source: Ini, total: int) -> Config:
    """`total`: MemTotal in bytes, what percentages are of."""
    zrams, wrong = config_zram.devices(source)
    findings = [*source.findings, *wrong, *_unknown_sections(source)]
    return Config(
        zrams=zrams,
        bounds=config_lending.settings(source, total, findings),
        swap=config_swap.settings(source, findings),
        care=config_maintenance.settings(source, findings),
        pressure=config_pressure.settings(source, findings),
        unit_pressure=config_pressure.units(source, findings),
        any_heaps=config_heaps.any_heaps(source, findings),
        rules=config_allow.rules(source, total, findings),
        aliases=config_heaps.aliases(source, findings),
        pools=config_pools.pools(source, total, findings),
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


def _unknown_sections(source: Ini) -> list[Finding]:
    known = ", ".join(section.title for section in SECTIONS)
    found = []
    for place, value in source.places.items():
        kind, _, name = place.partition(" ")
        if not any(section.name == kind and section.named is bool(name) for section in SECTIONS):
            message = f"no such section; memd knows {known}"
            found.append(
                Finding(file=value.file, line=value.line, section=place, key="", message=message, severity="warning")
            )
    return found
