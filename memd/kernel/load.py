"""How busy the machine is. Document: proc(5), /proc/loadavg.

Facts that bite: the load counts processes in uninterruptible sleep too (a card that hangs is a load), and is of the whole machine whatever
cgroup reads it; a machine with four CPUs is busy at 4.0.
"""

from __future__ import annotations

import os

from memd.errors import BadKernelFile
from memd.kernel.root import Root

NAME = "proc/loadavg"
POWER = "sys/class/power_supply"


def parse(text: str, path: str = NAME) -> float:
    """The load of the last minute."""
    words = text.split()
    if len(words) != 5 or not words[0].replace(".", "", 1).isdigit() or not words[0].isascii():
        raise BadKernelFile(path, text)
    return float(words[0])


def per_cpu(root: Root, cpus: int | None = None) -> float | None:
    """Load of the last minute for each CPU; None without /proc."""
    text = root.read(NAME)
    return None if text is None else parse(text, root.path(NAME)) / (cpus or os.cpu_count() or 1)


def battery(root: Root) -> float | None:
    """The charge (0..1) of the emptiest battery that this machine runs on; None where there is none, or where it is being charged.

    Document: Documentation/ABI/testing/sysfs-class-power (2.6.x). A mouse's battery has scope Device and is not the machine's."""
    found = [_charge(root, name) for name in root.list(POWER) or ()]
    return min((charge for charge in found if charge is not None), default=None)


def _charge(root: Root, name: str) -> float | None:
    facts = {key: (root.read(f"{POWER}/{name}/{key}") or "").strip() for key in ("type", "scope", "status")}
    if facts["type"] != "Battery" or facts["scope"] == "Device" or facts["status"] != "Discharging":
        return None
    percent = root.integer(f"{POWER}/{name}/capacity")
    return None if percent is None else percent / 100
