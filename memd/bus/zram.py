"""org.memd1.Zram, from its entry in a status."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping

from memd.bus.job import path
from memd.bus.objects import Answer, Object, known
from memd.bus.variants import Options, options
from memd.names import ZRAM
from memd.service.jobs import Job

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


Setter = Callable[[str, str, dict[str, str], bool], Awaitable[Job]]


def zram(facts: Mapping[str, object], change: Setter) -> Object:
    """`change(sender, device, settings, force)` begins a job, or raises."""

    async def set_(sender: str, settings: Options, given: Options) -> Answer:
        wanted = options(given, {"force": "b"})
        texts = options(settings, dict.fromkeys(settings, "s"))
        job = await change(sender, name(facts), texts, bool(wanted.get("force", False)))
        return Answer((path(job.number), {"state": job.state}))

    return Object(ZRAM, known({word: facts.get(key) for word, key in PROPERTIES.items()}), {"Set": set_})


def name(facts: Mapping[str, object]) -> str:
    """`zram0` of /dev/zram0."""
    return os.path.basename(str(facts["device"]))
