"""What a caller may ask at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.errors import InvalidArgs, LimitsExceeded
from memd.policy import arguments


@given(st.lists(st.integers(1, 2**64 - 1), min_size=1, max_size=16), st.sampled_from([4096, 16384, 65536]))
def test_sizes_are_rounded_up_to_pages(asked: list[int], page: int) -> None:
    rounded = arguments.sizes(asked, page)

    assert all(size % page == 0 and 0 <= size - one < page for one, size in zip(asked, rounded, strict=True))


@pytest.mark.parametrize("asked", [[], [0], [4096, 0]])
def test_nothing_is_no_size(asked: list[int]) -> None:
    with pytest.raises(InvalidArgs):
        arguments.sizes(asked, 4096)


def test_more_than_one_reply_can_carry() -> None:
    assert len(arguments.sizes([1] * 16, 4096)) == 16
    with pytest.raises(LimitsExceeded, match="at most 16"):
        arguments.sizes([1] * 17, 4096)


@pytest.mark.parametrize("text", ["", "camera 1/2 [raw]", "x" * 64])
def test_labels(text: str) -> None:
    assert arguments.label(text) == text


@pytest.mark.parametrize("text", ["x" * 65, "x" * 10_000, "a\nb", "\x1b[2J", "caf\u00e9", "\x7f", "a\0b", "\ud800"])
def test_what_no_listing_could_show(text: str) -> None:
    with pytest.raises(InvalidArgs) as caught:
        arguments.label(text)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_pages_of_listings(limit: int) -> None:
    assert arguments.limit(1000) == 1000
    with pytest.raises(InvalidArgs):
        arguments.limit(limit)
