"""All that one machine tells of its memory map, gathered; policy/mapmerge.py makes a map of it.

Facts that bite: half of this is root's (kmsg, iomem's addresses, debugfs, pagetypeinfo, the flat tree). What may not be read is told,
and the rest is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from memd.errors import BadKernelFile
from memd.kernel import bootlog, cma, devicetree, dmaheap, iomem, memblock, pagetypeinfo
from memd.kernel.root import Root
from memd.model_map import MapFacts

T = TypeVar("T")
COMMAND_LINE = "proc/cmdline"
RELEASE = "proc/sys/kernel/osrelease"


def read(root: Root) -> MapFacts:
    """Blocking; the journal may take a tenth of a second."""
    troubles: list[str] = []

    def attempt(what: Callable[[Root], T | None]) -> T | None:
        try:
            return what(root)
        except (OSError, BadKernelFile) as error:
            troubles.append(str(error))
            return None

    return MapFacts(
        tree=attempt(devicetree.read),
        log=attempt(bootlog.read),
        iomem=attempt(iomem.read),
        memory=attempt(memblock.memory),
        reserved=attempt(memblock.reserved),
        cma=attempt(_areas),
        heaps=attempt(dmaheap.names),
        command_line=attempt(_command_line),
        page_block=attempt(pagetypeinfo.block),
        kernel=attempt(_release),
        unreadable=tuple(troubles),
    )


def _areas(root: Root) -> dict[str, int | None] | None:
    """None without CONFIG_CMA_SYSFS: then nobody can say that an area is not there."""
    return None if root.list(cma.DIRECTORY) is None else {area.name: area.size for area in cma.read(root)}


def _command_line(root: Root) -> str | None:
    text = root.read(COMMAND_LINE)
    return None if text is None else text.strip()


def _release(root: Root) -> str | None:
    text = root.read(RELEASE)
    return None if text is None else text.strip()
