"""Whoever holds a buffer of a real heap, and in whatever form, it is charged to who borrowed it; and to nobody as soon as the last one let
go. Nothing tells memd of either: the kernel knows."""

import contextlib
import os
from collections.abc import Iterator

import holders
import people
import pytest
from dmabuf import MiB
from holders import Holder
from people import buffers

from memd.client import Memd
from memd.errors import MemdError

pytestmark = pytest.mark.needs("heap:system")
heaps = pytest.mark.parametrize(
    "heap", ["system", pytest.param("contiguous", marks=pytest.mark.needs("heap:reserved"))]
)


@pytest.fixture(autouse=True)
def _nothing_is_lent() -> Iterator[None]:
    assert buffers() == []
    yield
    # what lay in a circle of sockets goes when the kernel collects it
    assert people.eventually(lambda: buffers() == [])


def borrow(heap: str, size: int = MiB) -> int:
    """A buffer's fd, which is the caller's."""
    with Memd() as memd:
        return memd.allocate(heap, size).detach()


def refusal(heap: str) -> str:
    """The error that a request for one more gets; `served` if it gets a buffer."""
    try:
        os.close(borrow(heap))
    except MemdError as error:
        return type(error).__name__
    return "served"


@heaps
@pytest.mark.parametrize("holder", holders.OPEN)
def test_a_holder_holds_the_quota_and_no_longer(heap: str, holder: Holder) -> None:
    with contextlib.ExitStack() as held:
        fd = borrow(heap)
        try:
            holder(fd, held)
        finally:
            os.close(fd)
        for _ in range(2):
            assert [(row["size"], row["state"]) for row in buffers()] == [(MiB, "lent")]
    if holder is not holders.in_a_circle:
        assert buffers() == []


@heaps
def test_quota_is_back_at_the_last_close(heap: str) -> None:
    """One at his cap is refused while anything is left of his buffer, and served at once when nothing is."""
    with people.rules(f"[Allow memd-test]\nUser=root\nHeaps={heap}\nMaxBytes=1M\n"):
        for holder in (holders.in_flight, holders.mapped, holders.forked):
            with contextlib.ExitStack() as held:
                fd = borrow(heap)
                holder(fd, held)
                os.close(fd)
                assert refusal(heap) == "QuotaExceeded"
            assert refusal(heap) == "served"


@pytest.mark.needs("available_pages")
@pytest.mark.parametrize("holder", holders.HIDDEN)
def test_what_is_hidden_is_charged_until_its_memory_is_back(holder: Holder) -> None:
    with people.rules("[Allow memd-test]\nUser=root\nHeaps=contiguous\nMaxBytes=1M\n"):
        with contextlib.ExitStack() as held:
            fd = borrow("contiguous")
            holder(fd, held)
            os.close(fd)
            assert refusal("contiguous") == "QuotaExceeded"
            assert [row["state"] for row in buffers()] == ["releasing"]
        assert refusal("contiguous") == "served"
