"""The vendor's page: its program with the three faults mended, and the two of them that a kernel can show."""

import errno
import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest
from dmabuf import HEAP_ALLOC, SYNC_END, SYNC_READ, SYNC_WRITE, MiB, buffer, sync

PROGRAM = Path(__file__).parents[1] / "reference"


@pytest.mark.needs("heap:system")
@pytest.mark.parametrize("size", [4, 4096, 3 * MiB + 1])
def test_the_mended_program_uses_a_system_buffer(size: int) -> None:
    rounded = -(-size // 4096) * 4096
    assert subprocess.run([PROGRAM, "system", str(size)], capture_output=True, text=True).stdout == f"ok {rounded}\n"


@pytest.mark.needs("heap:reserved")
def test_the_mended_program_uses_the_default_cma_heap() -> None:
    assert subprocess.run([PROGRAM, "reserved", str(MiB)], capture_output=True, text=True).stdout == f"ok {MiB}\n"


@pytest.mark.needs("heap:my_cma")
def test_the_mended_program_uses_a_region_of_its_own() -> None:
    assert subprocess.run([PROGRAM, "my_cma", str(MiB)], capture_output=True, text=True).stdout == f"ok {MiB}\n"


@pytest.mark.needs("heap:system")
def test_the_result_of_the_ioctl_is_not_the_buffer() -> None:
    device = os.open("/dev/dma_heap/system", os.O_RDONLY)
    request = bytearray(struct.pack("=QIIQ", 4096, 0, os.O_RDWR, 0))
    try:
        assert fcntl.ioctl(device, HEAP_ALLOC, request) == 0
        fd = struct.unpack("=QIIQ", request)[1]
        assert fd > 2
        os.close(fd)
    finally:
        os.close(device)


@pytest.mark.needs("heap:system")
def test_a_sync_without_a_direction_is_refused() -> None:
    with buffer("system", 4096) as fd:
        for flags in (0, SYNC_END):
            with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
                sync(fd, flags)
        sync(fd, SYNC_READ | SYNC_WRITE)
        sync(fd, SYNC_READ | SYNC_WRITE | SYNC_END)
