"""A wrong BackingDevice= costs nobody a file system: what is refused, what is taken, and that each refusal says what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import BlockDevice
from memd.policy import backing

M = 1 << 20
GPT_SWAP = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
GPT_LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


def device(**values: object) -> BlockDevice:
    return BlockDevice(**{"path": "/dev/sda3", "name": "sda3", "size": 64 * M, "signature": {}, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "signature",
    [
        {},
        {"PART_ENTRY_TYPE": GPT_LINUX},
        {"PART_ENTRY_TYPE": GPT_SWAP.upper(), "TYPE": "ext4"},
        {"PART_ENTRY_TYPE": "0x82", "TYPE": "swap"},
        {"PART_ENTRY_NAME": "MEMD", "TYPE": "ext4"},
        {"TYPE": "swap", "LABEL": "memd"},
    ],
)
def test_taken(signature: dict[str, str]) -> None:
    assert backing.refusal(device(signature=signature)) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"holders": ("dm-0",)}, "in use by dm-0"),
        ({"held": True}, "in use: mounted"),
        ({"resume": True}, "hibernates to"),
        ({"read_only": True}, "read-only"),
        ({"size": 4096}, "1M at least"),
        ({"children": ("sda1",)}, "has partitions (sda1)"),
        ({"signature": {"TYPE": "swsuspend", "PART_ENTRY_TYPE": GPT_SWAP}}, "hibernated machine"),
        ({"signature": None}, "install it"),
        ({"signature": {"TYPE": "ext4"}}, "holds ext4"),
        ({"signature": {"TYPE": "ext4", "LABEL": "swap"}}, "holds ext4"),
        ({"signature": {"TYPE": "swap"}}, "holds swap"),
        ({"signature": {"PTTYPE": "gpt"}}, "holds gpt"),
        ({"signature": {"TYPE": "crypto_LUKS", "PART_ENTRY_NAME": "root"}}, "wipefs --all /dev/sda3"),
        ({"signature": {"USAGE": "raid"}}, "something (raid)"),
    ],
)
def test_refused(values: dict[str, object], words: str) -> None:
    assert words in (backing.refusal(device(**values)) or "")


@given(
    st.sampled_from(["ext4", "btrfs", "LVM2_member", "linux_raid_member", "vfat", "zfs_member"]), st.text(max_size=8)
)
def test_a_file_system_is_only_given_up_by_its_partitions_own_word(kind: str, label: str) -> None:
    meant = label.lower() in {"swap", "memd"}

    assert (backing.refusal(device(signature={"TYPE": kind, "PART_ENTRY_NAME": label})) is None) is meant
    assert backing.refusal(device(signature={"TYPE": kind, "LABEL": label})) is not None


@given(st.booleans(), st.booleans())
def test_what_is_in_use_is_refused_whatever_its_label(held: bool, resume: bool) -> None:
    refused = backing.refusal(device(held=held, resume=resume, signature={"PART_ENTRY_NAME": "memd"}))

    assert (refused is not None) is (held or resume)
