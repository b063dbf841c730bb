"""The [Zram] section, read before anything heavy is imported: on a device this decides when swap is on.

A typo never costs a device its swap: an unknown key is told and ignored, a wrong value is told and the default taken.
"""

from __future__ import annotations

from memd import config_keys
from memd.config_keys import Key, Section, boolean
from memd.early import Finding, ZramSettings
from memd.errors import MemdError
from memd.ini import Ini, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_BATCH = 4096
LONGEST_NAME = 10  # it stands in the label of the swap signature, behind `memd-`
MOST_DEVICES = 16


def _size(text: str) -> str:
    from memd.policy import zramsize

    zramsize.check(text)
    return text


def _algorithms(text: str) -> tuple[str, ...]:
    from memd.policy import zramalgorithm

    return zramalgorithm.parse(text)


def _secondary(text: str) -> tuple[str, ...]:
    from memd.policy import zramalgorithm

    found = zramalgorithm.parse(text)
    if len(found) > zramalgorithm.SECONDARY:
        raise MemdError(
            f"{len(found)} algorithms; the kernel has room for {zramalgorithm.SECONDARY} beside the first one"
        )
    return found


def _device(text: str) -> str:
    if not text.startswith("/dev/") or ".." in text.split("/"):
        raise MemdError(f"{text!r} is no block device; write its path, as in /dev/disk/by-partlabel/memd")
    return text


def _batch(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:6]) <= MOST_BATCH:
        raise MemdError(f"{text!r} is no count of pages; write a number from 1 to {MOST_BATCH}")
    return int(text)


def _priority(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or not -1 <= int(text[:8]) <= 32767:
        raise MemdError(f"{text!r} is no swap priority; write a number from -1 (below all others) to 32767")
    return int(text)


def _keys(_total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Enabled",
            field="enabled",
            parse=boolean,
            what="Whether memd sets up zram swap, on any device. With `no` what swap there is stays as it is.",
            default="yes",
        ),
        *_device_keys(0),
        Key(
            name="AllowInContainer",
            field="allow_in_container",
            parse=boolean,
            what="Whether to set up swap, which is the whole machine's, from within a container too.",
            default="no",
        ),
    )


def _device_keys(_total: int) -> tuple[Key, ...]:
    """What every device has."""
    return (
        Key(
            name="Size",
            field="size",
            parse=_size,
            what="The size of the device, before compression: arithmetic over `ram` (MemTotal less CmaTotal), sizes, shares of RAM such as"
            " `50%`, numbers as factors, `+ - * / % ^` and parentheses, `min()`, `max()`, `floor()`, `ceil()`, `round()`, `abs()`."
            " `0` means no device. More than 8 times the RAM is an error. `[Zram NAME]` has no default: without a size it is left out.",
            default="min(min(ram, 2G) + max(ram - 2G, 0) / 2, 8G)",
        ),
        Key(
            name="Algorithms",
            field="algorithms",
            parse=_algorithms,
            what="Compression algorithms in order of preference; the first that this kernel offers and can load is taken, and if there is"
            " none, the kernel's own choice. Parameters stand behind a name, as in `zstd(level=3)`: `level`, `dict` (a file's path),"
            " `deflate.winbits`; a kernel that has no parameters (before 6.12) is given none.",
            default="zstd lz4 lzo-rle lzo",
        ),
        Key(
            name="Recompress",
            field="recompress",
            parse=_secondary,
            what="Up to three secondary algorithms, tighter and slower than the first, that pages which are idle or compress badly are"
            " recompressed with; parameters as in `Algorithms=`. Needs a kernel with CONFIG_ZRAM_MULTI_COMP (6.2).",
        ),
        Key(
            name="MemLimit",
            field="mem_limit",
            parse=_size,
            what="The most RAM that the device may take, written like `Size=`. Unset is no limit. What does not fit fails to be"
            " swapped out, and a machine whose only swap is full of such failures runs out of memory: memd tells before it comes to that.",
        ),
        Key(
            name="BackingDevice",
            field="backing_device",
            parse=_device,
            what="The block device, a path below `/dev`, that idle and incompressible pages may be written to. Refused, and left alone, if"
            " anything is on it or anybody uses it, unless its partition type or label says swap or memd. Needs CONFIG_ZRAM_WRITEBACK.",
        ),
        Key(
            name="BackingEncrypted",
            field="backing_encrypted",
            parse=boolean,
            what="Whether what is written to the backing device is encrypted, with a key that is thrown away. Swap holds secrets.",
            default="yes",
        ),
        Key(
            name="CompressedWriteback",
            field="compressed_writeback",
            parse=boolean,
            what="Whether pages are written back as they are compressed, where the kernel can. Unset leaves it to the kernel.",
        ),
        Key(
            name="WritebackBatch",
            field="writeback_batch",
            parse=_batch,
            what="How many pages are on their way to the backing device at once, where the kernel lets one say. Unset leaves it to"
            " the kernel.",
        ),
        Key(
            name="Priority",
            field="priority",
            parse=_priority,
            what="Priority of the swap, 0 to 32767; `-1` lets the kernel pick one below all others.",
            default="100",
        ),
        Key(
            name="Discard",
            field="discard",
            parse=boolean,
            what="Whether freed pages are given back to zram at once.",
            default="yes",
        ),
    )


SECTION = Section(
    name="Zram",
    keys=_keys,
    what="The first zram device, read when swap is set up.",
)
NAMED = Section(
    name="Zram",
    keys=_device_keys,
    instead="the default is taken, and without a size the device is left out",
    what="One more zram device each, with a priority or a backing device of its own.",
    named=True,
)


def settings(ini: Ini) -> tuple[ZramSettings, list[Finding]]:
    """The first device's. Always settings that work; what was wrong stands in the findings."""
    findings: list[Finding] = []
    values = config_keys.read(ini, SECTION.name, SECTION, 0, findings)
    return ZramSettings(**values), findings


def devices(ini: Ini) -> tuple[tuple[ZramSettings, ...], list[Finding]]:
    """All devices, the first one first."""
    first, findings = settings(ini)
    shared = {"enabled": first.enabled, "allow_in_container": first.allow_in_container}
    more = [_named(ini, place, name, shared, findings) for place, name in config_keys.places(ini, NAMED)]
    found = [device for device in more if device]
    for device in found[MOST_DEVICES - 1 :]:
        findings.append(
            _refused(ini, f"Zram {device.name}", f"more than {MOST_DEVICES} devices; this one is left out")
        )
    return (first, *found[: MOST_DEVICES - 1]), findings


def _named(ini: Ini, place: str, name: str, shared: dict[str, Any], findings: list[Finding]) -> ZramSettings | None:
    if not (name.isascii() and name.isalnum()) or len(name) > LONGEST_NAME:
        message = f"{name!r} is no name of a device; write 1 to {LONGEST_NAME} letters and digits, as in [Zram fast]; it is left out"
        findings.append(_refused(ini, place, message))
        return None
    values = config_keys.read(ini, place, NAMED, 0, findings)
    if "size" not in values:
        if "Size" not in ini.sections[place]:
            findings.append(
                _refused(ini, place, "Size= is missing; write one, as in Size=512M; the device is left out")
            )
        return None
    return ZramSettings(**shared, **values, name=name)


def _refused(ini: Ini, place: str, message: str) -> Finding:
    where = ini.places.get(place) or Value(text=place, file=ini.files[-1] if ini.files else "memd.conf", line=0)
    return Finding(file=where.file, line=where.line, section=place, key="", message=message)
