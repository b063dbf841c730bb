"""What a block device is, what is on it, and who has it. Documents: Documentation/ABI/stable/sysfs-block (`holders`, 2.6), blkid(8) of
util-linux for signatures.

Facts that bite:
- an O_EXCL open is EBUSY for what is mounted, swap, or claimed by another driver; of a whole disk also where a partition is: but a
  claim on the disk by device mapper or md is seen best in `holders`, of the disk and of each partition;
- blkid -p exits with 2 for nothing found and 8 where signatures contradict each other, which is anything but nothing;
- what a plain dm-crypt mapping wrote looks like noise: no signature is what a device of ours has at the next boot.
"""

from __future__ import annotations

import errno
import os
import stat

from memd.early import BlockDevice
from memd.errors import BadKernelFile, Failed, NotSupported
from memd.kernel import program
from memd.kernel.root import Root

CLASS = "sys/class/block"
RESUME = "sys/power/resume"
NOTHING, CONTRADICTION = 2, 8
DEADLINE = 10.0


def read(root: Root, path: str) -> BlockDevice:
    """FileNotFoundError where there is no such node, NotSupported where it is no block device; OSError where it can't be opened."""
    node, name = _node(root, path), read_name(root, path)
    parent, children = _family(root, name)
    return BlockDevice(
        path=node,
        name=name,
        size=(root.integer(f"{CLASS}/{name}/size") or 0) * 512,  # in sectors of 512 bytes, whatever the disk's own are
        held=_held(node),
        holders=tuple(holder for each in (name, *parent, *children) for holder in _holders(root, each)),
        children=children,
        resume=_resumes(root, name),
        read_only=root.integer(f"{CLASS}/{name}/ro") == 1,
        signature=_signature(root, node),
    )


def _node(root: Root, path: str) -> str:
    return os.path.realpath(root.path(path.lstrip("/")))


def read_name(root: Root, path: str) -> str:
    """`sda1`, as sysfs has it, of /dev/disk/by-label/swap. Errors as `read`."""
    node = _node(root, path)
    found = os.stat(node)
    if not root.is_machine:
        return os.path.basename(node)  # a recorded machine has plain files for devices
    if not stat.S_ISBLK(found.st_mode):
        raise NotSupported(f"{node} is no block device")
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    return os.path.basename(os.path.realpath(root.path(f"sys/dev/block/{number}")))


def is_held(root: Root, path: str) -> bool:
    """Whether it is mounted, swap, or claimed by another driver."""
    return _held(_node(root, path))


def _family(root: Root, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the disk that it is a part of, at most one; its own partitions)."""
    if root.exists(f"{CLASS}/{name}/partition"):
        return (os.path.basename(os.path.dirname(os.path.realpath(root.path(f"{CLASS}/{name}")))),), ()
    entries = root.list(f"{CLASS}/{name}") or ()
    return (), tuple(entry for entry in entries if root.exists(f"{CLASS}/{name}/{entry}/partition"))


def _holders(root: Root, name: str) -> list[str]:
    return root.list(f"{CLASS}/{name}/holders") or []


def _held(node: str) -> bool:
    try:
        os.close(os.open(node, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    return False


def _resumes(root: Root, name: str) -> bool:
    """Whether it is where this machine looks for the image of a hibernation."""
    number = (root.read(f"{CLASS}/{name}/dev") or "").strip()
    return bool(number) and (root.read(RESUME) or "").strip() == number


def _signature(root: Root, node: str) -> dict[str, str] | None:
    """blkid's words (TYPE, LABEL, PART_ENTRY_TYPE, PART_ENTRY_NAME, ...); None where nobody here can tell."""
    if not root.is_machine:
        text = root.read(f"run/blkid/{os.path.basename(node)}")  # what blkid said when the machine was recorded
        return None if text is None else parse(text, node)
    try:
        blkid = program.find("blkid")
    except NotSupported:
        return None
    status, said = program.run([blkid, "-p", "-o", "export", node], DEADLINE)
    if status not in (0, NOTHING, CONTRADICTION):
        raise Failed(f"blkid -p {node}: {program.one_line(said) or f'status {status}'}")
    return {"TYPE": "signatures that contradict each other"} if status == CONTRADICTION else parse(said, node)


def parse(text: str, path: str) -> dict[str, str]:
    """`blkid -p -o export`: NAME=value lines; what is not printable is escaped by a backslash."""
    values = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if not equals or not key.replace("_", "").isalnum():
            raise BadKernelFile(path, line)
        values[key] = value.replace("\\", "")
    return values
