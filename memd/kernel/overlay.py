"""Overlays (`.dtbo`) applied to a flat tree, as a bootloader does it: libfdt's fdt_overlay_apply.

Document: Documentation/devicetree/overlay-notes.rst; libfdt/fdt_overlay.c (1.4.4).
Facts that bite: a base compiled without -@ has no __symbols__, and labels in an overlay lead nowhere; an overlay that failed half way
leaves a base that is no tree any more, and is itself used up; a node can be added and changed, never moved or removed.
"""

from __future__ import annotations

from types import ModuleType

from memd.errors import BadDeviceTree
from memd.kernel.devicetree import MAX_FLAT, checked, libfdt

ROOM = 64 << 10  # beside the overlay itself, for symbols and renumbered phandles


def apply(base: bytes, overlay: bytes, base_name: str, overlay_name: str) -> bytes:
    """The base with the overlay on it. BadDeviceTree, with the reason, if either is no tree or they do not fit."""
    fdt = libfdt()
    flat, extra = bytearray(base), bytearray(overlay)
    checked(fdt, flat, base_name)
    checked(fdt, extra, overlay_name)
    size = len(flat) + 2 * len(extra) + ROOM
    if size > MAX_FLAT:
        raise BadDeviceTree(overlay_name, f"makes a tree of more than {MAX_FLAT >> 20}M")
    wide = bytearray(size)
    _must(fdt, fdt.fdt_open_into(flat, wide, size), base_name, overlay_name, wide)
    _must(fdt, fdt.fdt_overlay_apply(wide, extra), base_name, overlay_name, flat)
    _must(fdt, fdt.fdt_pack(wide), base_name, overlay_name, wide)
    result = wide[: fdt.fdt_totalsize(wide)]
    checked(fdt, result, overlay_name)
    return bytes(result)


def _must(fdt: ModuleType, code: int, base_name: str, overlay_name: str, flat: bytearray) -> None:
    if code >= 0:
        return
    words = f"can't be applied to {base_name}: {_words(fdt, code, flat)}"
    raise BadDeviceTree(overlay_name, words)


def _words(fdt: ModuleType, code: int, flat: bytearray) -> str:
    if code in (-fdt.NOTFOUND, -fdt.BADOVERLAY, -fdt.BADOFFSET) and fdt.fdt_path_offset(flat, "/__symbols__") < 0:
        return "the base has no __symbols__, so labels lead nowhere: compile it with dtc -@"
    if code == -fdt.NOTFOUND:
        return "a label or a target path of it is not in the base"
    if code == -fdt.BADOVERLAY:
        return "it is no overlay, or its fixups make no sense"
    return f"libfdt says {fdt.strerror(code)}"
