"""May zram write to this device? A wrong `BackingDevice=` must not cost anybody a file system.

What has any signature, or is in use by itself, its disk or its partitions, is refused; what is blank is taken; what has a signature is
taken only where its partition type or its label says that it is for swap or for memd.
"""

from __future__ import annotations

from memd.early import BlockDevice

SWAP_TYPES = frozenset({"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "0x82"})  # Linux swap: GPT, MBR
LABELS = frozenset({"swap", "memd"})
IMAGES = frozenset({"swsuspend", "s1suspend", "ulsuspend", "linhib0001"})  # a sleeping machine's memory
LEAST = 1 << 20


def refusal(device: BlockDevice) -> str | None:
    """Why not, in one sentence that says what to do; None where zram may have it."""
    return _in_use(device) or _unfit(device) or _precious(device)


def _in_use(device: BlockDevice) -> str | None:
    if device.holders:
        return f"{device.path} is in use by {', '.join(sorted(set(device.holders)))}, itself, its disk or a partition of it"
    if device.held:
        return f"{device.path} is in use: mounted, swap, or another driver's; take it out of /etc/fstab, or name another device"
    if device.resume:
        return f"{device.path} is where this machine hibernates to (/sys/power/resume); name another device"
    return None


def _unfit(device: BlockDevice) -> str | None:
    if device.read_only:
        return f"{device.path} is read-only"
    if device.size < LEAST:
        return f"{device.path} has {device.size} bytes; zram needs 1M at least"
    return None


def _precious(device: BlockDevice) -> str | None:
    found = device.signature
    if device.children:
        return f"{device.path} has partitions ({', '.join(device.children)}); name one of them"
    if found is not None and found.get("TYPE", "").lower() in IMAGES:
        return f"{device.path} holds the image of a hibernated machine; resume it, or run mkswap on the device"
    if is_meant(found or {}):
        return None
    if found is None:
        return f"whether anything is on {device.path} can't be told without blkid (util-linux); install it"
    what = found.get("TYPE") or found.get("PTTYPE") or (found.get("USAGE") and f"something ({found['USAGE']})")
    if what:
        return (
            f"{device.path} holds {what}, and neither its partition type nor its label says swap or memd; if nothing on it is needed,"
            f" run wipefs --all {device.path}, or label its partition memd"
        )
    return None


def is_meant(found: dict[str, str]) -> bool:
    """Whether the partition's type or label, or the label of a swap signature, say that this place is for swap or for memd."""
    partition, swap = found.get("PART_ENTRY_NAME", ""), found.get("LABEL", "") if found.get("TYPE") == "swap" else ""
    return found.get("PART_ENTRY_TYPE", "").lower() in SWAP_TYPES or bool({partition.lower(), swap.lower()} & LABELS)
