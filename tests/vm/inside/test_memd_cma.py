"""CMA heaps: reached by `contiguous` on every kernel and by a region's own name, counted by the kernel, and exhausted in order."""

import contextlib

import people
import pytest
from dmabuf import MiB, cma_free

from memd.client import DmaBuf, Memd
from memd.errors import NoMemory

pytestmark = pytest.mark.needs("heap:reserved")


@pytest.mark.parametrize("region", [
    pytest.param(("contiguous", "reserved"), id="contiguous"),
    pytest.param(("my_cma", "my_cma"), id="my_cma", marks=pytest.mark.needs("heap:my_cma")),
])  # fmt: skip
def test_a_heap_takes_from_its_own_region_until_the_last_close(region: tuple[str, str]) -> None:
    heap, area = region
    before = cma_free(area)
    with Memd() as memd, memd.allocate(heap, 4 * MiB) as buffer:
        assert before - cma_free(area) == 4 * MiB
        with buffer.mmap() as memory:
            buffer.close()
            assert before - cma_free(area) == 4 * MiB
            memory[:5] = b"alive"
        assert people.eventually(lambda: cma_free(area) == before)  # the bus may close its copy after we have ours


@pytest.mark.needs("heap:default_cma_region")
def test_two_heaps_of_one_area_are_one_object() -> None:
    with Memd() as memd:
        names = {heap["name"]: heap["aliases"] for heap in memd.heaps()}
    assert sorted(names["default_cma_region"]) == ["contiguous", "reserved"]
    assert "reserved" not in names


def exhaust(memd: Memd, heap: str, held: contextlib.ExitStack) -> None:
    """Take all that a heap has."""
    while True:
        held.enter_context(memd.allocate(heap, 4 * MiB))


@pytest.mark.parametrize("heap", ["contiguous", pytest.param("my_cma", marks=pytest.mark.needs("heap:my_cma"))])
def test_an_exhausted_heap_is_told_to_all_who_care(heap: str) -> None:
    region = "reserved" if heap == "contiguous" else heap
    with people.hearing() as hear, Memd() as memd, contextlib.ExitStack() as held:
        with pytest.raises(NoMemory):
            exhaust(memd, heap, held)
        signal = hear("CmaAllocationFailed", 10)
    assert f"'{region}'" in signal
    assert people.journal("MEMD_ERROR=org.memd1.Error.NoMemory")


def test_what_was_held_is_free_again() -> None:
    with Memd() as memd:
        assert list(memd.buffers()) == []


def hold(heap: str, size: int) -> DmaBuf:
    """A buffer of root's."""
    with Memd() as memd:
        return memd.allocate(heap, size)


def test_a_killed_memd_takes_no_buffer_with_it() -> None:
    before = cma_free("reserved")
    with hold("contiguous", 4 * MiB) as buffer, buffer.mmap() as memory:
        memory[:5] = b"alive"
        people.kill_memd()
        assert memory[:5] == b"alive"
        assert before - cma_free("reserved") == 4 * MiB
    assert cma_free("reserved") == before


def test_a_killed_memd_knows_its_buffers_again() -> None:
    with hold("contiguous", 4 * MiB):
        people.kill_memd()
        with Memd() as memd:
            assert [row["size"] for row in memd.buffers()] == [4 * MiB]
