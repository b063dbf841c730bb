"""Three tests per kernel file: good, missing, garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import Swap
from memd.errors import BadKernelFile
from memd.kernel import swaps
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
HEAD = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
ZRAM = "/dev/zram0                              partition\t8388604\t\t1024\t\t100\n"
FILE = "/var/my\\040swap\\011file\\134                  file\t\t4092\t\t0\t\t-2\n"


def test_good(root: Root, put: Put) -> None:
    put("proc/swaps", HEAD + ZRAM + FILE)

    first, second = swaps.read(root) or ()

    assert first == Swap(path="/dev/zram0", kind="partition", size=8388604 << 10, used=1 << 20, priority=100)
    assert (second.path, second.kind, second.priority) == ("/var/my swap\tfile\\", "file", -2)


def test_none_active_is_empty_and_not_none(root: Root, put: Put) -> None:
    put("proc/swaps", HEAD)

    assert swaps.read(root) == ()


@pytest.mark.parametrize("shown", ["/dev/zram0\\040(deleted)", "/dev/zram0"])
def test_a_deleted_path_is_still_the_path(shown: str) -> None:
    assert swaps.parse(HEAD + f"{shown} partition 8 0 100\n")[0].path == "/dev/zram0"


def test_missing_is_a_kernel_without_swap(root: Root) -> None:
    assert swaps.read(root) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        ZRAM,
        HEAD + "/dev/zram0 partition 8\n",
        HEAD + "/dev/my zram partition 8 0 100\n",
        HEAD + "/dev/zram0 partition -8 0 100\n",
        HEAD + "/dev/zram0 partition 8 x 100\n",
        HEAD + "/dev/zram0 partition 8 0 --1\n",
        HEAD + "/dev/zram0 partition 8 0 \n",
        HEAD + "/dev/zram0 partition ٣ 0 100\n",
    ],
)
def test_garbage(root: Root, put: Put, text: str) -> None:
    put("proc/swaps", text)

    with pytest.raises(BadKernelFile):
        swaps.read(root)


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [("a\\040b", "a b"), ("\\", "\\"), ("a\\04", "a\\04"), ("\\777", "\\777"), ("\\\\134", "\\\\")],
)
def test_only_three_octal_digits_are_a_character(escaped: str, plain: str) -> None:
    assert swaps.unescape(escaped) == plain


@given(st.text(st.characters(min_codepoint=1, max_codepoint=126)))
def test_what_the_kernel_escapes_comes_back(path: str) -> None:
    escaped = "".join(f"\\{ord(character):03o}" if character in " \t\n\\" else character for character in path)

    assert swaps.unescape(escaped) == path
