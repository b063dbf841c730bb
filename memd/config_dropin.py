"""What was changed live, as a drop-in, so that a restart of memd keeps it; a restart of the machine does not.

/run/memd/memd.conf.d/zz-memctl.conf, or beside the file that `--config` names. It sorts behind what administrators write.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from memd import config_zram, ini
from memd.config_keys import Key
from memd.early import ZramSettings
from memd.errors import InvalidArgs, MemdError
from memd.kernel.root import Root

NAME = "zz-memctl.conf"
FOLDER = "run/memd/memd.conf.d"
HEAD = "# Written by memd for `memctl zram set`; gone with the next boot. `memctl zram set DEVICE KEY=` takes a key back.\n"
LONGEST = 1000  # characters of one value


class DropIn:
    """The drop-in of one configuration, and what [Zram] says with it."""

    def __init__(self, root: Root, config: str | None) -> None:
        self._root, self._config = root, config
        self.words: tuple[str, ...] = (
            ("--config", config) if config else ()
        )  # for another memd that is to read the same
        self._path = path(root, config)
        self._proposed: str | None = None

    def check(self, given: Mapping[str, str]) -> dict[str, str]:
        return checked(given)

    def devices(self) -> tuple[ZramSettings, ...]:
        """As the files are now."""
        return config_zram.devices(ini.read(self._root, self._config))[0]

    def propose(self, section: str, settings: dict[str, str]) -> tuple[ZramSettings, ...]:
        """As they would be with `settings` in [`section`]; InvalidArgs if these are wrong. `keep` writes them."""
        proposed = text(self._path, section, settings)
        devices, findings = config_zram.devices(ini.read(self._root, self._config, (self._path, proposed)))
        wrong = [finding.message for finding in findings if finding.file == self._path]
        if wrong:
            raise InvalidArgs("; ".join(wrong))
        self._proposed = proposed if settings else None
        return devices

    def keep(self) -> None:
        """Writes what was proposed last. OSError."""
        if self._proposed is not None:
            write(self._path, self._proposed)


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """Keys in any case as memd.conf writes them, and values that it takes. InvalidArgs says what would be right."""
    keys = {key.name.lower(): key for key in config_zram.NAMED.keys(0)}
    known = ", ".join(key.name for key in keys.values())
    if not given:
        raise InvalidArgs(f"nothing to set; say one of {known}, as in Size=2G")
    for name in given:
        if name.lower() not in keys:
            raise InvalidArgs(f"there is no key {name[:64]!a}; there are {known}")
    return {keys[name.lower()].name: _value(keys[name.lower()], value) for name, value in given.items()}


def _value(key: Key, value: str) -> str:
    if len(value) > LONGEST or not value.isprintable():
        raise InvalidArgs(f"{key.name}={value[:64]!a}: write a short value of printable characters")
    try:
        if value.strip():
            key.parse(value.strip())
    except MemdError as error:
        raise InvalidArgs(f"{key.name}={error}") from None
    return value.strip()


def path(root: Root, config: str | None) -> str:
    return f"{config}.d/{NAME}" if config else root.path(f"{FOLDER}/{NAME}")


def text(where: str, section: str, settings: dict[str, str]) -> str:
    """The drop-in with these keys changed; an empty value takes a key back. `section`: as in `Zram slow`."""
    old = ini.Ini()
    try:
        with open(where, encoding="utf-8", errors="surrogateescape") as file:
            ini.parse(file.read(), where, old)
    except FileNotFoundError:
        pass
    sections = {place: {key: value.text for key, value in keys.items()} for place, keys in old.sections.items()}
    keys = sections.setdefault(section, {})
    keys.update(settings)
    parts = ["".join(f"{key}={value}\n" for key, value in keys.items() if value) for keys in sections.values()]
    return HEAD + "".join(f"[{place}]\n{part}" for place, part in zip(sections, parts, strict=True) if part)


def write(where: str, content: str) -> None:
    """Whole or not at all. OSError where the directory can't be written to."""
    os.makedirs(os.path.dirname(where), mode=0o755, exist_ok=True)
    new = f"{where}.new"  # no .conf: nobody reads it
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, content.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)
    os.replace(new, where)
