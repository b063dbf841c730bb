"""What was seen of CMA areas as a file: whatever is in it, memd starts, and believes only what it wrote in this boot."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.kernel.clocks import BOOT_ID
from memd.kernel.root import Root
from memd.policy.cmahealth import CmaSeen
from memd.service import cmaseen
from memd.service.cmaseen import SeenFile, document, parse
from tests.service.watching import Put

COUNTS = st.integers(0, (1 << 63) - 1)
SEEN = st.builds(
    CmaSeen,
    peak=COUNTS,
    failures=COUNTS,
    largest_failed=COUNTS,
    needed=COUNTS,
    asked=COUNTS,
    asked_at=st.floats(0, 1e9),
    state=st.sampled_from(cmaseen.STATES),
)
GOOD = json.dumps(document({"cam": CmaSeen(peak=5)}, "b"))


def refused(text: str, boot: str) -> bool:
    """By a ValueError of whatever words; the library's are many."""
    try:
        parse(text, boot)
    except ValueError:
        return True
    return False


@given(st.dictionaries(st.text(max_size=8), SEEN, max_size=4))
def test_what_is_kept_comes_back(seen: dict[str, CmaSeen]) -> None:
    assert parse(json.dumps(document(seen, "b")), "b") == seen
    assert parse(json.dumps(document(seen, "b")), "another boot") == {}


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_anything_else_is_a_value_error(text: str) -> None:
    assert refused(text, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"peak": 5', '"peak": -5'),
        ('"peak": 5', '"peak": true'),
        ('"peak": 5', '"peak": 5.0'),
        ('"peak": 5', '"peak": 99999999999999999999'),
        ('"peak": 5', '"pink": 5'),
        ('"asked_at": 0.0', '"asked_at": NaN'),
        ('"asked_at": 0.0', '"asked_at": Infinity'),
        ('"fine"', '"splendid"'),
        ('"cam": {', '"cam": [], "two": {'),
        ("{", "[" * 100_000),
    ],
)
def test_garbage(old: str, new: str) -> None:
    assert old in GOOD
    assert refused(GOOD.replace(old, new, 1), "b")


def test_more_areas_than_a_kernel_has() -> None:
    with pytest.raises(ValueError, match="more than 64"):
        parse(json.dumps(document({str(number): CmaSeen() for number in range(65)}, "b")), "b")


def test_it_is_written_when_something_has_changed_and_for_root(root: Root, put: Put) -> None:
    put(BOOT_ID, "b\n")
    file = SeenFile(root)
    assert file.read() == {}
    file.keep({"cam": CmaSeen(peak=1)})
    path = Path(root.path(cmaseen.NAME))
    first = path.stat()
    file.keep({"cam": CmaSeen(peak=1)})
    assert path.stat().st_ino == first.st_ino
    assert stat.S_IMODE(first.st_mode) == 0o600
    file.keep({str(number): CmaSeen(peak=2) for number in range(100)})
    assert len(SeenFile(root).read()) == cmaseen.MOST
    assert (file.trouble, os.listdir(path.parent)) == ("", ["cma.json"])


def test_what_cannot_be_kept_is_told_once(root: Root, put: Put) -> None:
    put("run/memd", "a file where a directory should be")
    file = SeenFile(root)
    assert file.read() == {}
    file.keep({"cam": CmaSeen(peak=1)})
    assert file.trouble.startswith("what is seen of CMA areas is forgotten when memd ends: ")
    file.trouble += "!"
    file.keep({"cam": CmaSeen(peak=2)})
    assert file.trouble.endswith("!")


def test_a_file_that_cannot_be_read(root: Root) -> None:
    os.makedirs(root.path(cmaseen.NAME))
    file = SeenFile(root)
    assert file.read() == {}
    assert "is forgotten" in file.trouble
