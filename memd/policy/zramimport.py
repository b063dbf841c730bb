"""Moving in: what other managers of zram were told, as memd.conf. Each reader gives what memd does the same, and what it can't, in words.

Documents: zram-generator.conf(5), systemd/zram-generator 1.2; /etc/default/zramswap of Debian's zram-tools; /etc/default/zram of
meta-openembedded's zram. The latter two are shell: what is no plain NAME=value there is not run, and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from memd.errors import MemdError
from memd.policy import zramalgorithm, zramimportsize
from memd.units import format_size

Section = tuple[str, tuple[tuple[str, str], ...]]  # title, (key, value) in order
KERNELS_CHOICE = (
    "{0}: no algorithm is named, which leaves it to the kernel; memd takes the first of `zstd lz4 lzo-rle lzo` that the kernel "
    "has"
)


@dataclass(frozen=True, slots=True)
class Imported:
    """`sections` of memd.conf; `cannot`: what is not the same, a sentence each; `origin`: the files it came from."""

    sections: tuple[Section, ...]
    cannot: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()


def render(found: Imported) -> str:
    """A drop-in for memd.conf.d."""
    lines = [f"# memd.conf that does what {' and '.join(found.origin) or 'nothing'} did (memctl config import)"]
    lines += [f"# Not the same: {_one_line(sentence)}" for sentence in found.cannot]
    for title, keys in found.sections:
        lines += ["", f"[{title}]", *(f"{key}={value}" for key, value in keys)]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


MOST_DIGITS = 12  # of a number of megabytes
OFF: Section = ("Zram", (("Enabled", "no"),))


# zram-generator


def generator(files: Sequence[tuple[str, str]], command_line: str = "") -> Imported:
    """`files`: (path, text) in the order in which they are read. `command_line`: the kernel's, whose systemd.zram= beats the files."""
    asked = switch(command_line)
    origin = tuple(path for path, _ in files) or (("systemd.zram= on the kernel command line",) if asked else ())
    if asked is False:
        return Imported(
            (OFF,), ("systemd.zram=0 on the kernel command line turns zram-generator off, not memd",), origin
        )
    cannot: list[str] = []
    devices = _devices(files, cannot)
    if asked and not devices:
        devices = {"zram0": {}}
    swaps = {name: keys for name, keys in devices.items() if _is_swap(name, keys, cannot)}
    sections = tuple(
        _generator_device(name, keys, cannot, first=index == 0) for index, (name, keys) in enumerate(swaps.items())
    )
    return Imported(sections or (OFF,), tuple(cannot), origin)


def switch(command_line: str) -> bool | None:
    """systemd.zram, systemd.zram=1 or =0; the last one counts."""
    found = None
    for word in command_line.split():
        key, _, value = word.partition("=")
        if key == "systemd.zram":
            found = value not in {"0", "no", "false", "off"}
    return found


def _devices(files: Iterable[tuple[str, str]], cannot: list[str]) -> dict[str, dict[str, str]]:
    devices: dict[str, dict[str, str]] = {}
    for path, text in files:
        keys: dict[str, str] | None = None
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if line.startswith("["):
                name = line.strip("[]").strip()
                keys = devices.setdefault(name, {}) if _is_device(name) else None
            elif line and line[0] not in "#;":
                key, equals, value = map(str.strip, line.partition("="))
                if keys is not None and equals:
                    keys[key] = value
                else:
                    cannot.append(f"{path}:{number}: {line[:60]!r} means nothing there either")
    return devices


def _is_device(name: str) -> bool:
    return name.startswith("zram") and name[4:].isascii() and name[4:].isdigit()


def _is_swap(name: str, keys: Mapping[str, str], cannot: list[str]) -> bool:
    for key in ("mount-point", "fs-type"):
        if key in keys:
            cannot.append(f"{name}: {key} = {keys[key]} makes a file system; memd makes swap only")
            return False
    return True


def _generator_device(name: str, keys: Mapping[str, str], cannot: list[str], *, first: bool) -> Section:
    found: list[tuple[str, str]] = []
    found += _generator_size(name, keys, cannot)
    found += _generator_algorithms(name, keys.get("compression-algorithm", ""), cannot)
    found += _generator_limit(name, keys, cannot)
    if keys.get("writeback-device"):
        found += [("BackingDevice", keys["writeback-device"]), ("BackingEncrypted", "no")]
        cannot.append(f"{name}: what it writes back is not encrypted; leave BackingEncrypted=no away and it is")
    found += [("Priority", keys.get("swap-priority", "100"))]
    found += _generator_options(name, keys.get("options", "discard"), cannot)
    for key in keys:
        if key not in GENERATOR_KEYS:
            cannot.append(f"{name}: {key} = {keys[key]}: {_unknown(key)}")
    return ("Zram" if first else f"Zram {name}", tuple(found))


GENERATOR_KEYS = frozenset({
    "zram-size", "zram-fraction", "max-zram-size", "host-memory-limit", "memory-limit", "compression-algorithm", "zram-resident-limit",
    "writeback-device", "swap-priority", "options", "mount-point", "fs-type",
})  # fmt: skip


def _unknown(key: str) -> str:
    return "memd runs no programs for its configuration" if key.startswith("set!") else "memd has no such setting"


def _generator_size(name: str, keys: Mapping[str, str], cannot: list[str]) -> list[tuple[str, str]]:
    text = keys.get("zram-size") or _from_fraction(keys)
    try:
        size = zramimportsize.in_megabytes(text)
    except MemdError as error:
        cannot.append(f"{name}: zram-size = {text}: {error}; its default is written instead")
        size = zramimportsize.in_megabytes(zramimportsize.DEFAULT)
    return [("Size", _on_small_machines(name, size, keys, cannot))]


def _on_small_machines(name: str, size: str, keys: Mapping[str, str], cannot: list[str]) -> str:
    """Nothing where there is more memory than the limit: the factor is 1 up to it, and 0 above."""
    limit = keys.get("host-memory-limit", keys.get("memory-limit", "none"))
    if limit in ("none", ""):
        return size
    if not (limit.isascii() and limit.isdigit() and len(limit) <= MOST_DIGITS):
        cannot.append(f"{name}: host-memory-limit = {limit} is no number of megabytes")
        return size
    return f"({size}) * min(floor({limit}M / ram), 1)" if int(limit) else "0"


def _from_fraction(keys: Mapping[str, str]) -> str:
    """The obsolete pair of keys; the expression of today's default where there is neither."""
    if not {"zram-fraction", "max-zram-size"} & keys.keys():
        return zramimportsize.DEFAULT
    share, most = keys.get("zram-fraction", "0.5"), keys.get("max-zram-size", "4096")
    return f"{share} * ram" if most == "none" else f"min({share} * ram, {most})"


def _generator_limit(name: str, keys: Mapping[str, str], cannot: list[str]) -> list[tuple[str, str]]:
    text = keys.get("zram-resident-limit", "0")
    if text.strip() in ("0", ""):
        return []
    try:
        return [("MemLimit", zramimportsize.in_megabytes(text))]
    except MemdError as error:
        cannot.append(f"{name}: zram-resident-limit = {text}: {error}")
        return []


def _generator_algorithms(name: str, text: str, cannot: list[str]) -> list[tuple[str, str]]:
    """`lzo-rle zstd(level=3) (type=idle)`: the first compresses, the others recompress, parameters alone are of recompression."""
    words = [word for word in _outside_parentheses(text) if word]
    for word in (word for word in words if word.startswith("(")):
        if word.strip("()").replace(" ", "") != "type=idle":  # what memd's maintenance does anyway
            cannot.append(f"{name}: {word}: recompression is set by [Maintenance] in memd.conf")
    named = [good for word in words if not word.startswith("(") and (good := _algorithm(name, word, cannot))]
    if not named:
        cannot.append(KERNELS_CHOICE.format(name))
        return []
    more = [("Recompress", " ".join(named[1:4]))] if named[1:] else []
    return [("Algorithms", named[0]), *more]


def _outside_parentheses(text: str) -> list[str]:
    words, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character.isspace() and depth == 0:
            words.append("")
        else:
            words[-1] += character
    return words


def _algorithm(name: str, word: str, cannot: list[str]) -> str | None:
    """In memd's words; a parameter that it doesn't have is told and left out."""
    algorithm, opening, inside = word.partition("(")
    good = []
    for parameter in inside.removesuffix(")").replace("dictionary=", "dict=").split(",") if opening else ():
        try:
            zramalgorithm.parse(f"{algorithm}({parameter.strip()})")
            good.append(parameter.strip())
        except MemdError:
            cannot.append(f"{name}: {algorithm}: {parameter.strip()!r} is no parameter that memd gives to the kernel")
    try:
        return zramalgorithm.parse(f"{algorithm}({','.join(good)})" if good else algorithm)[0]
    except MemdError as error:
        cannot.append(f"{name}: {error}")
        return None


def _generator_options(name: str, text: str, cannot: list[str]) -> list[tuple[str, str]]:
    words = [word for word in text.replace(",", " ").split() if word not in ("defaults", "discard")]
    for word in words:
        cannot.append(f"{name}: swap option {word!r}: memd has discard and a priority")
    return [("Discard", "yes" if "discard" in text else "no")]


# Shell


def zramswap(path: str, text: str) -> Imported:
    """/etc/default/zramswap of zram-tools: PERCENT goes before SIZE, which is in MiB."""
    cannot: list[str] = []
    values = _shell(path, text, {"ALGO", "PERCENT", "SIZE", "PRIORITY", "CORES"}, cannot)
    size = f"{values['PERCENT']}%" if "PERCENT" in values else format_size(int(values.get("SIZE", "256")) << 20)
    if "CORES" in values:
        cannot.append(f"{path}: CORES: one device serves all processors since Linux 3.15")
    keys = (("Size", size), ("Algorithms", values.get("ALGO", "lz4")), ("Priority", values.get("PRIORITY", "100")))
    return Imported((("Zram", (*keys, ("Discard", "no"))),), tuple(cannot), (path,))


def openembedded(path: str, text: str) -> Imported:
    """/etc/default/zram: FACTOR percent of RAM, shared out among as many devices as there are processors."""
    cannot: list[str] = []
    values = _shell(path, text, {"FACTOR"}, cannot)
    cannot.append(
        f"{path}: one device of that size, and not one for each processor: since Linux 3.15 one serves all of them"
    )
    cannot.append(KERNELS_CHOICE.format(path))
    size = f"{values.get('FACTOR', '90')}%"
    return Imported((("Zram", (("Size", size), ("Priority", "100"), ("Discard", "no"))),), tuple(cannot), (path,))


def _shell(path: str, text: str, known: set[str], cannot: list[str]) -> dict[str, str]:
    """NAME=value lines; numbers are checked, since nothing else is a number in memd.conf."""
    values = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split(" #")[0].strip().removeprefix("export ")
        name, equals, value = line.partition("=")
        value = value.strip().strip("'\"")
        if not line or line.startswith("#"):
            continue
        wrong = value if name == "ALGO" and value.replace("-", "").isalnum() else value.isascii() and value.isdigit()
        if not equals or name not in known or not wrong or len(value) > 20:
            cannot.append(
                f"{path}:{number}: {line[:60]!r}: {'not run' if equals and name in known else 'memd has no such setting'}"
            )
        else:
            values[name] = value
    return values
