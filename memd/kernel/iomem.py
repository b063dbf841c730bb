"""/proc/iomem: who has which physical addresses. Source: kernel/resource.c (2.4), arch/arm64/mm; no document.

Facts that bite: without CAP_SYS_ADMIN every address is printed as 0, which is told as None here; two spaces of indent are one level; no-map
regions stand outermost as `reserved`, mapped reservations inside `System RAM`.
"""

from __future__ import annotations

import re

from memd.errors import BadKernelFile
from memd.kernel.root import Root
from memd.model_map import IoEntry, Range

FILE = "proc/iomem"
LINE = re.compile(r"^( *)([0-9a-f]+)-([0-9a-f]+) : (.*)$")


def read(root: Root) -> tuple[IoEntry, ...] | None:
    """None where there is no such file, and where this process may not see addresses. BadKernelFile for a line of another shape."""
    text = root.read(FILE)
    return None if text is None else parse(text, root.path(FILE))


def parse(text: str, path: str = FILE) -> tuple[IoEntry, ...] | None:
    found = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None or int(match[2], 16) > int(match[3], 16):
            raise BadKernelFile(path, line)
        base, last = int(match[2], 16), int(match[3], 16)
        found.append(IoEntry(Range(base, last - base + 1), match[4], len(match[1]) // 2))
    hidden = all(entry.range == Range(0, 1) for entry in found)
    return None if hidden else tuple(found)
