"""The early allocator's lists in debugfs: memory, and what was reserved at boot. Source: mm/memblock.c; debugfs is no ABI.

Facts that bite: there only with CONFIG_ARCH_KEEP_MEMBLOCK (arm64 and arm have it, x86 has not) and debugfs, for root; a line is
`   0: 0x0000000040000000..0x00000000ffffffff`, since 6.4 followed by node and flags.
"""

from __future__ import annotations

import re

from memd.errors import BadKernelFile
from memd.kernel.root import Root
from memd.model_map import Range

DIRECTORY = "sys/kernel/debug/memblock"
LINE = re.compile(r"^ *\d+: 0x([0-9a-f]+)\.\.0x([0-9a-f]+)(?:\s.*)?$")


def memory(root: Root) -> tuple[Range, ...] | None:
    """RAM as the kernel was told, no-map regions included."""
    return _read(root, "memory")


def reserved(root: Root) -> tuple[Range, ...] | None:
    return _read(root, "reserved")


def _read(root: Root, name: str) -> tuple[Range, ...] | None:
    """None where there is no such list; BadKernelFile for a line of another shape."""
    text = root.read(f"{DIRECTORY}/{name}")
    return None if text is None else parse(text, root.path(f"{DIRECTORY}/{name}"))


def parse(text: str, path: str = DIRECTORY) -> tuple[Range, ...]:
    found = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None or int(match[1], 16) > int(match[2], 16):
            raise BadKernelFile(path, line)
        base, last = int(match[1], 16), int(match[2], 16)
        found.append(Range(base, last - base + 1))
    return tuple(found)
