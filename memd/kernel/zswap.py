"""zswap, and what hibernation rests on. Documents: Documentation/admin-guide/mm/zswap.rst (3.11),
Documentation/admin-guide/pm/sleep-states.rst; /sys/power/resume since 2.6.

Facts that bite: zswap is built in and off until `enabled` says Y; /sys/power/state lists `disk` where the kernel could hibernate if it had
somewhere to; /sys/power/resume is `0:0` where nothing is set.
"""

from __future__ import annotations

from memd.errors import BadKernelFile
from memd.kernel.root import Root

ENABLED = "sys/module/zswap/parameters/enabled"
STATE, RESUME = "sys/power/state", "sys/power/resume"
NOWHERE = "0:0"


def is_on(root: Root) -> bool | None:
    """None on a kernel without zswap."""
    text = root.read(ENABLED)
    if text is None:
        return None
    if text.strip() not in {"Y", "N"}:
        raise BadKernelFile(root.path(ENABLED), text)
    return text.strip() == "Y"


def hibernates(root: Root) -> bool:
    """Whether the kernel can hibernate and has been told where to."""
    states = (root.read(STATE) or "").split()
    return "disk" in states and (root.read(RESUME) or NOWHERE).strip() != NOWHERE
