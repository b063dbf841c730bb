"""A kernel's zram0 in a directory, that does what is written to it: as drivers/block/zram/zram_drv.c, as far as maintenance sees it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from memd.kernel.root import Root

PAGE = os.sysconf("SC_PAGE_SIZE")
ZRAM = "sys/block/zram0"
MEMINFO = "MemTotal: 1000000 kB\nMemFree: 1000000 kB\nMemAvailable: 1000000 kB\n"


class FakeZram(Root):
    """`pages`: stored and idle, each of half a page, a quarter after recompression. Without `times` only `idle all` is taken."""

    def __init__(
        self, directory: str, put: Callable[[str, str | bytes], None], *, pages: int = 10_000, times: bool = True
    ) -> None:
        super().__init__(directory)
        self._put = put
        self.pages, self.times = pages, times
        self.fresh = pages  # not yet recompressed
        self.idle = False
        self.limit = self.written = self.backed = 0
        self.room = 1 << 20  # pages
        self.broken = self.gone = False
        self.log: list[tuple[str, str]] = []
        self.most_at_once = 0
        for name in ("idle", "recompress", "writeback", "writeback_limit", "writeback_limit_enable", "compact"):
            put(f"{ZRAM}/{name}", "")
        put(f"{ZRAM}/backing_dev", "/dev/sda3\n")
        put("dev/sda3", "")
        put("sys/class/block/sda3/size", f"{1 << 24}\n")
        put(f"{ZRAM}/recomp_algorithm", "#1: lz4 [zstd]\n")
        put(f"{ZRAM}/initstate", "1\n")
        put(f"{ZRAM}/comp_algorithm", "[lz4] zstd\n")
        put(f"{ZRAM}/disksize", f"{pages * PAGE}\n")
        put("proc/meminfo", MEMINFO)
        put("proc/loadavg", "0.00 0.00 0.00 1/2 3\n")
        put("proc/sys/kernel/osrelease", "7.3.0\n")
        put("proc/sys/kernel/random/boot_id", "a\n")
        put("proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 40000 0 100\n")
        self._show()

    def write(self, name: str, text: str) -> None:
        super().write(name, text)
        attribute = name.rpartition("/")[2]
        if name.startswith(ZRAM):
            self.log.append((attribute, text))
            getattr(self, f"_{attribute}", lambda _text: None)(text)
            self._show()

    def _idle(self, text: str) -> None:
        if text != "all" and not self.times:
            raise OSError(errno.EINVAL, "Invalid argument", "idle")
        self.idle = True

    def _writeback_limit(self, text: str) -> None:
        self.limit = int(text)

    def _writeback(self, _kind: str) -> None:
        if self.gone:
            raise OSError(errno.EIO, "Input/output error", "writeback")
        count = min(self.pages, self.limit * 4096 // PAGE) if self.idle else 0
        self.most_at_once = max(self.most_at_once, count)
        full = self.backed + count > self.room
        count = min(count, self.room - self.backed)
        self.pages -= count
        self.fresh = min(self.fresh, self.pages)
        self.backed += count
        self.written += count
        self.limit -= count * PAGE // 4096
        self._show()
        if full:
            raise OSError(errno.ENOSPC, "No space left on device", "writeback")
        if self.pages and self.idle:
            raise OSError(errno.EIO, "Input/output error", "writeback")

    def _recompress(self, text: str) -> None:
        values = dict(word.split("=") for word in text.split())
        if values["type"] == "idle" and self.idle:
            count = min(self.fresh, int(values["max_pages"]))
            self.most_at_once = max(self.most_at_once, count)
            self.fresh -= count

    def _show(self) -> None:
        used = (self.fresh * 2 + (self.pages - self.fresh)) * PAGE // 4
        self._put(f"{ZRAM}/mm_stat", f"{(self.pages + self.backed) * PAGE} {used} {used} 0 {used} 0 0 0 0\n")
        self._put(f"{ZRAM}/bd_stat", f"{self.backed * PAGE // 4096} 0 {self.written * PAGE // 4096}\n")
        self._put(f"{ZRAM}/writeback_limit", f"{self.limit}\n")
