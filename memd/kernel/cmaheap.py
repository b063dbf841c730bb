"""Which CMA areas there are, which is the default one, and which belong to a driver: what the names of CMA heaps are read by.

Documents: Documentation/ABI/testing/sysfs-kernel-mm-cma (5.13), devicetree/bindings/reserved-memory. Source: kernel/dma/contiguous.c.
Facts that bite: the default area is `reserved` where `cma=` or the build gave it, else the enabled reserved-memory node with
`linux,cma-default`; a `cma=` on the command line makes the kernel skip that node. Its heap is named after the area (before 6.17), or
`default_cma_region`, or both. 7.2 makes a heap of every reusable region, also of one that a driver owns by `memory-region`.
Properties of the tree are big-endian cells and NUL-ended strings.
"""

from __future__ import annotations

import os
import struct

from memd.kernel.root import Root
from memd.model import CmaAreas

SYSFS = "sys/kernel/mm/cma"
TREE = "sys/firmware/devicetree/base"
RESERVED = f"{TREE}/reserved-memory"
COMMAND_LINE = "proc/cmdline"
BUILT_IN = "reserved"


def read(root: Root) -> CmaAreas:
    """What this machine tells; a machine without CMA or device tree has no areas. OSError where a file can't be read."""
    nodes = [node for node in root.list(RESERVED) or () if _is_cma(root, f"{RESERVED}/{node}")]
    default = _default(root, nodes)
    handles = {node: _cell(root, f"{RESERVED}/{node}/phandle") for node in nodes if node != default}
    return CmaAreas(
        default=default,
        names=frozenset(root.list(SYSFS) or ()) | frozenset(nodes),
        owners=_owners(root, {phandle: node for node, phandle in handles.items() if phandle is not None}),
    )


def _is_cma(root: Root, node: str) -> bool:
    """A node that the kernel makes a CMA area of: enabled, reusable, a shared pool."""
    enabled = _strings(root, f"{node}/status")[0] in {"", "okay", "ok"}
    return enabled and root.exists(f"{node}/reusable") and "shared-dma-pool" in _strings(root, f"{node}/compatible")


def _default(root: Root, nodes: list[str]) -> str:
    if any(word.startswith("cma=") for word in (root.read(COMMAND_LINE) or "").split()):
        return BUILT_IN
    return next((node for node in nodes if root.exists(f"{RESERVED}/{node}/linux,cma-default")), BUILT_IN)


def _owners(root: Root, owned: dict[int, str]) -> dict[str, str]:
    """Area -> the device node that names it in `memory-region`. Thousands of nodes: not walked where no area could be owned."""
    owners: dict[str, str] = {}
    for directory, _, files in os.walk(root.path(TREE)) if owned else ():
        if "memory-region" in files:
            device = os.path.relpath(directory, root.path(TREE))
            for phandle in _cells(os.path.join(directory, "memory-region")):
                if phandle in owned:
                    owners.setdefault(owned[phandle], device)
    return owners


def _strings(root: Root, name: str) -> list[str]:
    return (root.read(name) or "").rstrip("\0").split("\0")


def _cell(root: Root, name: str) -> int | None:
    cells = _cells(root.path(name)) if root.exists(name) else ()
    return cells[0] if cells else None


def _cells(path: str) -> tuple[int, ...]:
    """32-bit cells; a tail that is no whole cell is left out."""
    with open(path, "rb") as file:
        data = file.read()
    return struct.unpack(f">{len(data) // 4}I", data[: len(data) // 4 * 4])
