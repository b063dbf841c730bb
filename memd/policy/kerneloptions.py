"""Kernel options that memd has a use for, and what each missing one costs. docs/kernel.md is made of this table (`make docs`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from memd.policy.checkup import ERROR, NOTE, WARNING, Ailment


@dataclass(frozen=True, slots=True)
class Option:
    """`name` without CONFIG_; `since`: the kernel that has it first, "" for all; `costs`: what memd cannot do without it; `seen`: a path
    that is there only with it, "" where nothing shows it; `needs`: what it is worth: ERROR, WARNING or NOTE; `under`: the option
    without which this one is not worth a word."""

    name: str
    needs: str
    costs: str
    seen: str = ""
    since: str = ""
    under: str = ""


OPTIONS = (
    Option("SWAP", ERROR, "no swap of any kind", "proc/swaps"),
    Option("ZRAM", ERROR, "no compressed swap; the module zram has to be installed too", "sys/class/zram-control"),
    Option("ZRAM_BACKEND_ZSTD", NOTE, "no zstd: zram compresses less", since="6.12", under="ZRAM"),
    Option("ZRAM_BACKEND_LZ4", NOTE, "no lz4: zram compresses slower", since="6.12", under="ZRAM"),
    Option("ZRAM_MULTI_COMP", NOTE, "no second algorithm for pages that lie long (recompression)", since="6.2", under="ZRAM"),
    Option("ZRAM_WRITEBACK", NOTE, "pages that compress badly or lie long cannot leave RAM for a disk", under="ZRAM"),
    Option("ZRAM_MEMORY_TRACKING", NOTE, "pages in zram have no age but since they were last marked", under="ZRAM_WRITEBACK"),
    Option("ZRAM_TRACK_ENTRY_ACTIME", NOTE, "pages in zram have no age but since they were last marked", since="6.8", under="ZRAM"),
    Option("DM_CRYPT", NOTE, "nothing is written back to a disk unless you say plain", under="ZRAM_WRITEBACK"),
    Option("DMABUF_HEAPS", ERROR, "no DMA-BUF heaps: nothing to lend", "dev/dma_heap"),
    Option("DMABUF_HEAPS_SYSTEM", ERROR, "no heap `system`", "dev/dma_heap/system", under="DMABUF_HEAPS"),
    Option("DMABUF_HEAPS_CMA", WARNING, "no heaps of contiguous memory: `contiguous` reaches nothing", under="DMABUF_HEAPS"),
    Option("UDMABUF", NOTE, "no heap `udmabuf`", "dev/udmabuf"),
    Option("CMA", WARNING, "no contiguous memory: cameras and codecs without an IOMMU have none"),
    Option("DMA_CMA", WARNING, "no default CMA area, and no areas of the device tree", under="CMA"),
    Option("CMA_SYSFS", WARNING, "areas' sizes and failed allocations are not told", "sys/kernel/mm/cma", "5.13", under="CMA"),
    Option("CMA_DEBUGFS", NOTE, "the largest free run of an area is not told", "sys/kernel/debug/cma", under="CMA"),
    Option("PSI", ERROR, "memory pressure is judged from free memory every few seconds, and late", "proc/pressure/memory"),
    Option("MEMCG", WARNING, "no pressure of units and slices, no accounting of heap memory"),
    Option("EPOLL", ERROR, "memd cannot know which buffers are alive"),
    Option("INOTIFY_USER", WARNING, "heaps that come later, as modules do, are not seen"),
    Option("KCMP", WARNING, "systemd keeps one owner's buffers over a restart of memd, and forgets those of others"),
    Option("SECCOMP_FILTER", NOTE, "no `memctl run`, and units have no sandbox", "proc/sys/kernel/seccomp/actions_avail"),
    Option("USER_NS", NOTE, "`memctl run` is for root only", "proc/self/ns/user"),
    Option("EVENT_TRACING", NOTE, "a driver's failed CMA allocation is told by a counter, without its size", under="CMA"),
    Option("DEBUG_FS", NOTE, "`memctl buffers --holders` does not list buffers that memd did not lend", "sys/kernel/debug"),
    Option("OF", NOTE, "no device tree: the board's memory map is what `cma=` says", "sys/firmware/devicetree/base"),
)  # fmt: skip


def judge(
    config: Mapping[str, str] | None, there: Callable[[str], bool], release: tuple[int, int]
) -> Iterator[Ailment]:
    """What is missing of OPTIONS. `config`: options that are on, None if not told; `there`: whether a path exists; `release`: (6, 1)."""
    lacking: set[str] = set()
    for option in OPTIONS:
        if _newer(option.since, release) or _on(option, config, there):
            continue
        lacking.add(option.name)
        if option.under in lacking:
            continue
        known = (
            "is not set" if config is not None else "seems not to be set: the kernel does not tell its configuration"
        )
        yield Ailment(
            rule=f"kernel-{option.name.lower().replace('_', '-')}",
            severity=option.needs,
            what=f"CONFIG_{option.name} {known}",
            costs=option.costs,
            mend=f"build the kernel with CONFIG_{option.name}=y",
        )


def _on(option: Option, config: Mapping[str, str] | None, there: Callable[[str], bool]) -> bool:
    """What is seen counts before what is written: a module may not be installed, and a path may be there without our knowing why."""
    if option.seen and there(option.seen):
        return True
    if config is not None:
        return option.name in config
    return not option.seen  # nothing would show it: no reason to complain


def _newer(since: str, release: tuple[int, int]) -> bool:
    return bool(since) and tuple(map(int, since.split("."))) > release
