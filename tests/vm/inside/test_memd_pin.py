"""Memory that is pinned by vmsplice(2) outlives its buffer where no ledger sees it: which kernels allow that, and who may borrow there."""

import ctypes
import mmap
import os

import people
import pytest
from dmabuf import buffer
from people import MEMBER, MEMCTL_REFUSED

from memd.client import Memd
from memd.kernel import pin

pytestmark = pytest.mark.needs("heap:system", "heap:reserved", "udmabuf")
old = pytest.mark.machines("x86_64-6.1")


def pinnable() -> list[str]:
    """The heaps that memd warns of."""
    lines = [line for line in people.status()["missing"] if "can pin its memory" in line]
    return sorted(line.split(" of heap ")[1].split()[0] for line in lines)


def test_memd_found_what_this_kernel_lets_be_pinned() -> None:
    found = []
    for heap in ("system", "reserved"):
        with buffer(heap, 4096) as fd:
            found += [heap] if pin.can_pin(fd) else []
    with Memd() as memd, memd.allocate("udmabuf", 4096) as one:
        found += ["udmabuf"] if pin.can_pin(one.fileno()) else []
    assert found == (["reserved", "udmabuf"] if os.uname().release.startswith("6.1.") else [])
    assert pinnable() == found


@old
def test_what_is_pinned_outlives_the_ledgers_entry() -> None:
    """Hence the rule below. (udmabuf, because the kernel complains of pinned pages of a CMA area when it takes them back.)"""
    with Memd() as memd, memd.allocate("udmabuf", 4096) as one:
        memory = one.mmap()
        memory[:6] = b"pinned"
        page = (ctypes.c_char * mmap.PAGESIZE).from_buffer(memory)
        reader, writer = os.pipe()
        vector = pin.Iovec(ctypes.addressof(page), mmap.PAGESIZE)
        assert ctypes.CDLL(None).vmsplice(writer, ctypes.byref(vector), ctypes.c_size_t(1), 0) == mmap.PAGESIZE
        del page
        memory.close()
    assert people.buffers() == []
    os.close(writer)
    assert os.read(reader, 6) == b"pinned"
    os.close(reader)


@old
@pytest.mark.usefixtures("users")
def test_only_a_rule_that_names_it_lends_such_a_heap() -> None:
    for heaps, status in (("*", MEMCTL_REFUSED), ("contiguous", 0)):
        with people.rules(f"[Allow memd-test]\nUser={MEMBER}\nHeaps={heaps}\n"):
            done = people.run(MEMBER, "memctl", "alloc", "contiguous", "1M", "--", "true")
            assert done.returncode == status, done.stderr
