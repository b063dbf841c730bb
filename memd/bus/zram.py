"""org.memd1.Zram, from its entry in a status."""

from __future__ import annotations

import os
from collections.abc import Mapping

from memd.bus.objects import Answer, Object, known
from memd.errors import NotSupported
from memd.names import ZRAM

PROPERTIES = {
    "Device": "device",
    "Disksize": "disksize",
    "Algorithm": "algorithm",
    "Priority": "priority",
    "SwapUsed": "swap_used",
    "Original": "original",
    "Compressed": "compressed",
    "MemUsed": "mem_used",
    "MemLimit": "mem_limit",
    "MemUsedMax": "mem_used_max",
    "SamePages": "same_pages",
    "HugePages": "huge_pages",
}


def zram(facts: Mapping[str, object]) -> Object:
    return Object(ZRAM, known({name: facts.get(key) for name, key in PROPERTIES.items()}), {"Set": _set})


def name(facts: Mapping[str, object]) -> str:
    """`zram0` of /dev/zram0."""
    return os.path.basename(str(facts["device"]))


async def _set(_sender: str, _settings: object, _options: object) -> Answer:
    raise NotSupported("this memd sets zram up at start only; write [Zram] in memd.conf")
