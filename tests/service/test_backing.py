"""The backing device: prepared, refused, or found as an earlier memd left it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memd.kernel.root import Root
from memd.service import backing

Put = Callable[[str, str | bytes], None]


class Mappings(backing.Mappings):
    def __init__(self, root: Root) -> None:
        super().__init__(root)
        self.opened: list[tuple[str, str]] = []
        self.closed: list[str] = []

    def open(self, device: str, name: str) -> str:
        self.opened.append((device, name))
        return "/dev/dm-3"

    def close(self, name: str) -> None:
        self.closed.append(name)


@pytest.fixture
def mappings(root: Root, put: Put) -> Mappings:
    put("dev/sda3", "")
    put("sys/class/block/sda3/size", "131072\n")
    put("run/blkid/sda3", "DEVNAME=/dev/sda3\n")
    return Mappings(root)


def test_encrypted_by_default(root: Root, mappings: Mappings) -> None:
    prepared = backing.prepare(root, "/dev/sda3", mappings=mappings)

    assert prepared == backing.Prepared(path="/dev/dm-3", mapping="memd-sda3")
    assert mappings.opened == [(root.path("dev/sda3"), "memd-sda3")]
    backing.give_back(root, prepared, mappings)
    assert mappings.closed == ["memd-sda3"]


def test_plain_only_if_said(root: Root, mappings: Mappings) -> None:
    prepared = backing.prepare(root, "/dev/sda3", encrypt=False, mappings=mappings)

    assert prepared == backing.Prepared(path=root.path("dev/sda3"))
    backing.give_back(root, prepared, mappings)
    assert (mappings.opened, mappings.closed) == ([], [])


@pytest.mark.parametrize("encrypt", [True, False])
def test_what_holds_something_is_refused_and_not_opened(
    root: Root, put: Put, mappings: Mappings, encrypt: bool
) -> None:
    put("run/blkid/sda3", "TYPE=ext4\n")

    with pytest.raises(backing.Refused, match="holds ext4"):
        backing.prepare(root, "/dev/sda3", encrypt=encrypt, mappings=mappings)
    assert mappings.opened == []


def test_a_mapping_that_an_earlier_memd_left_is_used(root: Root, put: Put, mappings: Mappings) -> None:
    put("sys/class/block/dm-5/dm/name", "memd-sda3\n")
    put("sys/class/block/sda3/holders/dm-5", "")
    put("dev/dm-5", "")

    assert backing.prepare(root, "/dev/sda3", mappings=mappings).path == "/dev/dm-5"
    assert mappings.opened == []
    put("sys/class/block/dm-5/holders/zram9", "")
    with pytest.raises(backing.Refused, match="in use by dm-5"):
        backing.prepare(root, "/dev/sda3", mappings=mappings)


def test_a_device_that_does_not_come(root: Root, mappings: Mappings) -> None:
    with pytest.raises(FileNotFoundError, match="no such device"):
        backing.prepare(root, "/dev/sdb1", patience=0.06, mappings=mappings)
