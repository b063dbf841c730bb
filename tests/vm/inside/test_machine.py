"""The ground that the other tests stand on: what this machine's kernel and user space are."""

import fcntl
import os
import select
import struct
import subprocess
from pathlib import Path

import facts
import pytest
from dmabuf import MiB, buffer, cma_free, meminfo, size_of

CMA = Path("/sys/kernel/mm/cma")


def output(*command: str) -> str:
    """What a command prints; it must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.needs("emulated")
def test_the_machine_has_what_its_name_promises(here: set[str]) -> None:
    assert here == facts.EXPECTED[facts.MACHINE]


def test_systemd_is_init_and_the_bus_answers() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert "org.freedesktop.systemd1" in output("busctl", "--system", "--no-pager", "list")


@pytest.mark.needs("heap:system")
def test_heaps_are_for_root_alone() -> None:
    for heap in Path("/dev/dma_heap").iterdir():
        assert heap.stat().st_mode & 0o777 == 0o600, heap


@pytest.mark.needs("heap:system")
def test_every_heap_lends_a_buffer() -> None:
    for heap in Path("/dev/dma_heap").iterdir():
        with buffer(heap.name, 5000) as fd:
            assert size_of(fd) == 8192, heap


@pytest.mark.needs("heap:reserved", "cma:reserved")
def test_the_cma_heap_takes_from_cma_and_gives_back() -> None:
    before = cma_free("reserved")
    with buffer("reserved", 4 * MiB):
        assert before - cma_free("reserved") == 4 * MiB
    assert cma_free("reserved") == before


@pytest.mark.needs("heap:my_cma", "available_pages")
def test_a_region_of_the_device_tree_has_its_own_heap() -> None:
    before = {region.name: cma_free(region.name) for region in CMA.iterdir()}
    with buffer("my_cma", 8 * MiB):
        now = {region.name: cma_free(region.name) for region in CMA.iterdir()}
    assert now == before | {"my_cma": before["my_cma"] - 8 * MiB}


@pytest.mark.needs("heap:system")
def test_the_system_heap_leaves_cma_alone() -> None:
    before = meminfo("CmaFree")
    with buffer("system", 16 * MiB):
        # Others' movable pages come and go meanwhile; these 16M are not among them.
        assert abs(meminfo("CmaFree") - before) < 4 * MiB


@pytest.mark.needs("reserved-memory", "cma:my_cma")
def test_the_vendor_pages_regions_have_their_sizes() -> None:
    sizes = {region.name: int((region / "total_pages").read_text()) * 4096 for region in CMA.iterdir()}
    assert sizes == {"reserved": 16 * MiB, "my_cma": 20 * MiB, "adsp-heap": 12 * MiB}
    assert meminfo("CmaTotal") == 48 * MiB


@pytest.mark.needs("cma=64M")
def test_cma_is_what_the_command_line_says() -> None:
    assert meminfo("CmaTotal") == 64 * MiB


@pytest.mark.needs("reserved-memory", "boot-log-carveouts", "cma:my_cma")
def test_the_boot_log_has_the_vendor_pages_lines() -> None:
    log = output("dmesg")
    for line in (
        "0x0000000081800000..0x00000000835fffff (30720 KiB) nomap non-reusable cdsp-secure-heap@81800000",
        "0x0000000084300000..0x00000000847fffff (5120 KiB) nomap non-reusable camera@84300000",
        "0x0000000084800000..0x00000000860fffff (25600 KiB) nomap non-reusable wpss@84800000",
        "0x0000000086100000..0x00000000888fffff (40960 KiB) nomap non-reusable adsp@86100000",
        "0x00000000d0800000..0x00000000d08fffff (1024 KiB) nomap non-reusable my_carveout_mem@d0800000",
        "0x00000000ff000000..0x00000000ffbfffff (12288 KiB) map reusable adsp-heap",
        "initialized node adsp-heap, compatible id shared-dma-pool",
    ):
        assert f"OF: reserved mem: {line}\n" in log


@pytest.mark.needs("arm64")
def test_transparent_huge_pages_halve_the_page_block(here: set[str]) -> None:
    assert f"Pages per block:  {512 if 'thp' in here else 1024}\n" in Path("/proc/pagetypeinfo").read_text()


@pytest.mark.needs("zram-writeback")
def test_zram_is_a_module_with_the_usual_compressors() -> None:
    assert Path("/sys/module/zram/initstate").read_text() == "live\n"
    algorithms = Path("/sys/block/zram0/comp_algorithm").read_text().replace("[", "").replace("]", "").split()
    assert {"lzo-rle", "lz4", "zstd"} <= set(algorithms)


@pytest.mark.needs("psi")
def test_psi_takes_a_trigger_of_one_second() -> None:
    trigger = os.open("/proc/pressure/memory", os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(trigger, b"some 100000 1000000\0")
    finally:
        os.close(trigger)


@pytest.mark.needs("udmabuf")
def test_udmabuf_makes_a_buffer_of_a_memfd() -> None:
    memory = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, MiB)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    device = os.open("/dev/udmabuf", os.O_RDWR)
    request = bytearray(struct.pack("=IIQQ", memory, 1, 0, MiB))  # struct udmabuf_create
    fd = fcntl.ioctl(device, 0x40187542, request)
    try:
        assert size_of(fd) == MiB
    finally:
        for each in (fd, device, memory):
            os.close(each)


@pytest.mark.needs("cma-debugfs")
def test_tracefs_has_the_cma_events() -> None:
    events = {event.name for event in Path("/sys/kernel/tracing/events/cma").iterdir()}
    assert {"cma_alloc_start", "cma_alloc_finish", "cma_release"} <= events


@pytest.mark.needs("heap:system")
def test_an_epoll_set_knows_a_buffer_without_keeping_it() -> None:
    with select.epoll() as ledger:
        with buffer("system", MiB) as fd:
            copy = os.dup(fd)
            ledger.register(fd, 0)
        assert "tfd:" in Path(f"/proc/self/fdinfo/{ledger.fileno()}").read_text()
        os.close(copy)
        assert "tfd:" not in Path(f"/proc/self/fdinfo/{ledger.fileno()}").read_text()
