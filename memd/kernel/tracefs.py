"""CMA allocations as they happen: tracepoint cma:cma_alloc_finish in an own tracefs instance. Document: Documentation/trace/ftrace.rst
(instances since 3.10, buffer_percent since 5.0); source: include/trace/events/cma.h (cma_alloc_finish since 5.12).

Facts that bite:
- an instance takes 1.4 MiB per CPU until buffer_size_kb is written: so that comes first, right after the mkdir;
- with buffer_percent at its default of 50 a reader of trace_pipe is woken when half the buffer is full: 0 wakes it at each event;
- until 6.x there is no `errorno`: a failure has no page, and as pfn the last that was tried, or -1; and a request that is larger than its
  area ends before the tracepoint (seen on 6.1): that one only the area's counter tells;
- what reaches the buffer is filtered in the kernel, so events that nobody wants wake nobody;
- a killed memd leaves its instance behind: it is taken over; a process' name (comm) is its own choice, spaces included;
- in memd.service /sys is read-only: mkdir needs ReadWritePaths= on the directory of the instances.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re

from memd.errors import BadKernelFile
from memd.kernel.root import Root
from memd.model import CmaAllocation

TRACING = "sys/kernel/tracing"
INSTANCES = f"{TRACING}/instances"
EVENT = "events/cma/cma_alloc_finish"
RELEASE = "events/cma/cma_release"
BUFFER_KB = "8"  # of each CPU: some 80 events
CHUNK = 1 << 14
LINE = (
    r"^\s*(?P<comm>.{0,16})-(?P<pid>\d+)\s+\[\d+\].*?(?P<time>\d+\.\d+): cma_alloc_finish: name=(?P<name>.*)"
    r" pfn=(?:0x)?(?P<pfn>[0-9a-f]+) page=(?P<page>\S+) count=(?P<count>\d+) align=\d+(?: errorno=(?P<errno>-?\d+))?$"
)


class CmaTrace:
    """Owns an instance called `name`. `least`: pages from which on successes are told too; failures are told of any size. A release of as
    many wakes the reader, and is no allocation."""

    def __init__(self, root: Root, least: int, name: str = "memd") -> None:
        """OSError where this kernel has no such tracepoint (ENOENT), or this process may not have an instance."""
        self._root, self._instance = root, f"{INSTANCES}/{name}"
        fields = root.read(f"{TRACING}/{EVENT}/format")
        if fields is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), root.path(f"{TRACING}/{EVENT}"))
        with contextlib.suppress(FileExistsError):
            os.mkdir(root.path(self._instance))
        try:
            self._fd = self._begin("errorno != 0" if "errorno" in fields else "page == 0", least)
        except OSError:
            self._remove()
            raise

    def _begin(self, failed: str, least: int) -> int:
        settings = {
            "buffer_size_kb": BUFFER_KB,
            "buffer_percent": "0",
            "trace_clock": "mono",
            f"{EVENT}/filter": f"{failed} || count >= {least}",
            f"{EVENT}/enable": "1",
        }
        for name, text in settings.items():
            self._root.write(f"{self._instance}/{name}", text)
        with contextlib.suppress(OSError):  # then it is seen later that an area has room again
            self._root.write(f"{self._instance}/{RELEASE}/filter", f"count >= {least}")
            self._root.write(f"{self._instance}/{RELEASE}/enable", "1")
        return os.open(self._root.path(f"{self._instance}/trace_pipe"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Readable when there are events."""
        return self._fd

    def read(self) -> list[CmaAllocation]:
        """What there is now; lines that are none of ours (lost events) are left out."""
        try:
            text = os.read(self._fd, CHUNK).decode("utf-8", "backslashreplace")
        except BlockingIOError:
            return []
        return [found for found in map(parse, text.splitlines()) if found]

    def close(self) -> None:
        os.close(self._fd)
        self._remove()

    def _remove(self) -> None:
        """An instance that cannot go costs a few KiB, and the next memd takes it over."""
        for event in (EVENT, RELEASE):
            with contextlib.suppress(OSError, BadKernelFile):
                self._root.write(f"{self._instance}/{event}/enable", "0")
        with contextlib.suppress(OSError):
            os.rmdir(self._root.path(self._instance))


def parse(line: str) -> CmaAllocation | None:
    """One line of trace_pipe; None for any other."""
    found = re.match(LINE, line)
    if found is None:
        return None
    without = -errno.ENOMEM if not found["page"].strip("0") else 0
    number = int(found["errno"]) if found["errno"] is not None else without
    return CmaAllocation(
        region=found["name"],
        pages=int(found["count"]),
        errno=-number,
        pid=int(found["pid"]),
        comm=found["comm"].strip(),
        time=float(found["time"]),
    )
