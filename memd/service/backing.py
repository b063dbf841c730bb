"""zram's backing device: looked at, refused where anything on it could be somebody's, and encrypted with a throw-away key unless told
otherwise, because swap holds secrets.

On the early path where a BackingDevice= is configured, and imported only then.
"""

from __future__ import annotations

import errno
import time

from memd.early import Noun
from memd.errors import Failed
from memd.kernel import blockdev, mapping
from memd.kernel.root import Root
from memd.policy import backing

PATIENCE = 5.0  # for a node that is not there yet: a card is slower than memd-swap.service
STEP = 0.05
BLOCK = "sys/class/block"


class Prepared(Noun):
    """`path`: what zram is told; `mapping`: the encrypted mapping that is ours to close, None where it writes plain."""

    path: str
    mapping: str | None = None


class Refused(Failed):
    """This device is not zram's to write to; the message says why and what to do."""


class Mappings:
    """What reaches beyond files; a test has its own."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def open(self, device: str, name: str) -> str:
        return mapping.open_plain(self.root, device, name)

    def close(self, name: str) -> None:
        mapping.close(self.root, name)


def prepare(
    root: Root,
    device: str,
    *,
    encrypt: bool = True,
    patience: float = PATIENCE,
    mappings: Mappings | None = None,
) -> Prepared:
    """`device`: a path below /dev. Blocking. Refused, with the reason, where it must not be written to; OSError where it is not there."""
    _wait_for(root, device, patience)
    left = _left_over(root, device)
    if left and encrypt:
        return left
    found = blockdev.read(root, device)
    reason = backing.refusal(found)
    if reason:
        raise Refused(f"{reason}; swap works without it, and nothing is written back")
    if not encrypt:
        return Prepared(path=found.path)
    name = mapping_name(found.name)
    return Prepared(path=(mappings or Mappings(root)).open(found.path, name), mapping=name)


def give_back(root: Root, prepared: Prepared, mappings: Mappings | None = None) -> None:
    """After zram has let go of it: the key is forgotten."""
    if prepared.mapping:
        (mappings or Mappings(root)).close(prepared.mapping)


def mapping_name(name: str) -> str:
    """`memd-mmcblk0p7`."""
    return f"memd-{name.replace('!', '-')}"


def _left_over(root: Root, device: str) -> Prepared | None:
    """The mapping that an earlier memd made on this device, if nobody uses it."""
    name = mapping_name(blockdev.read_name(root, device))
    node = mapping.find(root, name)
    if node is None or root.list(f"{BLOCK}/{node}/holders") or blockdev.is_held(root, f"/dev/{node}"):
        return None
    return Prepared(path=f"/dev/{node}", mapping=name)


def _wait_for(root: Root, device: str, patience: float) -> None:
    end = time.monotonic() + patience
    while not _is_there(root, device):
        if time.monotonic() > end:
            raise FileNotFoundError(errno.ENOENT, "there is no such device", device)
        time.sleep(STEP)


def _is_there(root: Root, device: str) -> bool:
    return root.exists(device.lstrip("/"))
