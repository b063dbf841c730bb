"""/proc/meminfo. Document: Documentation/filesystems/proc.rst, "meminfo".

Facts that bite: "kB" means KiB. CmaTotal and CmaFree (5.0) are absent without CONFIG_CMA, which is not 0. MemAvailable (3.14) counts
free CMA pages, which unmovable allocations (the system heap) cannot use.
"""

from __future__ import annotations

from memd.early import MemInfo
from memd.errors import BadKernelFile
from memd.kernel.root import Root

NAME = "proc/meminfo"
FIELDS = {
    "MemTotal": "total",
    "MemAvailable": "available",
    "MemFree": "free",
    "SwapTotal": "swap_total",
    "SwapFree": "swap_free",
    "CmaTotal": "cma_total",
    "CmaFree": "cma_free",
}


def parse(text: str, path: str = NAME) -> MemInfo:
    """Bytes. BadKernelFile if a line is no number or a required one (total, available, free) is missing."""
    # Looked for by name: this is read before each decision, and most of its lines are of no concern.
    values: dict[str, int] = {}
    for key, name in FIELDS.items():
        begin = 0 if text.startswith(key + ":") else text.find(f"\n{key}:") + 1
        if begin or text.startswith(key + ":"):
            end = text.find("\n", begin)
            line = text[begin:] if end < 0 else text[begin:end]
            values[name] = _bytes(line[len(key) + 1 :], line, path)
    if not {"total", "available", "free"} <= values.keys():
        raise BadKernelFile(path, text)
    return MemInfo(**values)


def _bytes(rest: str, line: str, path: str) -> int:
    words = rest.split()
    if len(words) != 2 or words[1] != "kB" or not words[0].isdigit():
        raise BadKernelFile(path, line)
    return int(words[0]) * 1024


def read(root: Root) -> MemInfo:
    """The machine's memory now. FileNotFoundError without /proc: then nothing can be decided."""
    text = root.read(NAME)
    if text is None:
        raise FileNotFoundError(2, "no /proc mounted", root.path(NAME))
    return parse(text, root.path(NAME))
