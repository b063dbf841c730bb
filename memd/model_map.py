"""Nouns of the memory map: what a device tree, a boot log and the running kernel say of memory that Linux doesn't have for itself.

Frozen dataclasses, bytes throughout. A `Range` is half open: its `end` is the first byte behind it. None is "not told", never 0.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 1 << 20
PAGE_BLOCK = 4 << 20  # the vendor's: 4 KiB pages, pageblock_order 10


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """`size` bytes of physical memory from `base` on."""

    base: int
    size: int

    @property
    def end(self) -> int:
        return self.base + self.size

    def overlaps(self, other: Range) -> bool:
        """True where both have a byte in common; an empty range has none."""
        return max(self.base, other.base) < min(self.end, other.end)

    def holds(self, other: Range) -> bool:
        return self.base <= other.base and other.end <= self.end

    def __str__(self) -> str:
        """`0x81800000..0x835fffff`, as the kernel writes it: the last byte, not the first behind."""
        return f"{self.base:#x}..{max(self.end - 1, self.base):#x}"


# What a device tree says, before anything is made of it


@dataclass(frozen=True, slots=True)
class Node:
    """One node: `name` with its unit address, `path` from the root ("/" is the root's), raw values of properties by name."""

    name: str
    path: str
    properties: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceTree:
    """The part of a device tree that speaks of memory, read alike from a `.dtb` and from /proc/device-tree.

    `source`: the file or directory. `memory`: nodes whose device_type is memory, or which are named so. `reserved`: the node
    /reserved-memory, None where there is none; `children`: its direct children, in the tree's order. `users`: phandle -> paths of
    the nodes that name it in `memory-region`. `labels`: path -> label, from __symbols__ (empty where compiled without -@).
    `memreserve`: the header's reservations (a directory does not tell them). `has_symbols`: whether labels could be known at all.
    """

    source: str
    root: Node
    memory: tuple[Node, ...] = ()
    chosen: Node | None = None
    reserved: Node | None = None
    children: tuple[Node, ...] = ()
    users: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    memreserve: tuple[Range, ...] = ()
    has_symbols: bool = False


# The map


class RegionKind(enum.Enum):
    """CARVE_OUT: `no-map`, Linux never touches it. CMA: `reusable` and `shared-dma-pool`, Linux' own pages move in while it is free.
    OTHER: reserved and mapped (ramoops, framebuffers, coherent and restricted pools, nodes without a flag)."""

    CARVE_OUT = "carve-out"
    CMA = "CMA"
    OTHER = "other"


class Source(enum.StrEnum):
    """Where the knowledge of a region comes from."""

    TREE = "device tree"
    LOG = "boot log"
    CMA = "CMA"
    COMMAND_LINE = "command line"
    IOMEM = "iomem"
    MEMBLOCK = "memblock"


@dataclass(frozen=True, slots=True)
class Region:
    """One child of /reserved-memory, or the default CMA area that `cma=` or the kernel's build makes (path "").

    `name`: the node's full name (`adsp@86100000`). `base`: as the tree fixes it by `reg`, None for a dynamic region, which the kernel
    places. `size`: None where neither reg nor size tells one. `placed`: where the running kernel has it, None where nobody told.
    `more`: further `reg` entries, which the kernel ignores. `alignment` and `alloc_ranges` as written. `unit`: the number behind
    the @, None where there is none or it is no number; `unit_text` is what stands there. `users`: paths of the device nodes that
    name the region in memory-region. `size_property`: the value of `size`, beside a `reg` too. `enabled`: status is okay or
    absent. `sources`: who speaks of it. `heap`: its node in /dev/dma_heap. `problems`: what in the node makes no sense, each a
    sentence; such a value is None here.
    """

    name: str
    path: str
    base: int | None = None
    size: int | None = None
    kind: RegionKind = RegionKind.OTHER
    no_map: bool = False
    reusable: bool = False
    compatible: tuple[str, ...] = ()
    label: str | None = None
    phandle: int | None = None
    users: tuple[str, ...] = ()
    alignment: int | None = None
    alloc_ranges: tuple[Range, ...] = ()
    more: tuple[Range, ...] = ()
    unit: int | None = None
    unit_text: str | None = None
    enabled: bool = True
    status: str | None = None
    cma_default: bool = False
    has_reg: bool = False
    has_size: bool = False
    size_property: int | None = None
    placed: Range | None = None
    heap: str | None = None
    sources: tuple[Source, ...] = (Source.TREE,)
    problems: tuple[str, ...] = ()

    @property
    def dynamic(self) -> bool:
        """The kernel chooses the place at boot: `size` and no `reg`."""
        return not self.has_reg and self.path != ""

    @property
    def fixed(self) -> Range | None:
        """What the tree fixes; None for a dynamic region, and where the size is not told."""
        return None if self.base is None or self.size is None else Range(self.base, self.size)

    @property
    def where(self) -> Range | None:
        """The best that is known: where the kernel has it, else where the tree fixes it."""
        return self.placed or self.fixed


@dataclass(frozen=True, slots=True)
class CmaArgument:
    """`cma=nn[MG]@[start[MG][-end[MG]]]` of the command line. `size` 0 is no default area; `base`: where it is fixed, or, with `end`,
    where the range starts that it must lie in."""

    text: str
    size: int
    base: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What two sources say differently of one thing. `said`: source -> its words, as a person reads them."""

    about: str
    said: Mapping[Source, str]

    def __str__(self) -> str:
        return f"{self.about}: " + ", ".join(f"{source} says {words}" for source, words in self.said.items())


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """A board's memory as its sources tell it.

    `source`: file, or the running machine. `ram`: None where the tree leaves it to the bootloader and no machine tells. `regions` in
    the tree's order. `memreserve`: reservations of the header. `address_cells`, `size_cells`: the root's, by which every node's
    numbers are read. `page_block`: bytes, None where not known (PAGE_BLOCK is the rules' guess). `cma`: what the command line
    asks, None where it has no `cma=`; `command_line`: None where not known. `ram_known`: `ram` is what the machine has, or what
    somebody said, and not a tree's guess that the bootloader corrects. `ignored`: why the kernel ignores /reserved-memory as a
    whole, None where it does not. `problems`: what else is odd about it. `kernel`: its version, `7.2.11`. `warnings`: the
    kernel's own, from its log. `running`: read from a running machine, not from a file.
    """

    source: str
    board: str | None = None
    compatible: tuple[str, ...] = ()
    ram: tuple[Range, ...] | None = None
    regions: tuple[Region, ...] = ()
    memreserve: tuple[Range, ...] = ()
    address_cells: int = 1
    size_cells: int = 1
    has_reserved: bool = False
    ignored: str | None = None
    ram_known: bool = False
    page_block: int | None = None
    cma: CmaArgument | None = None
    command_line: str | None = None
    differences: tuple[Difference, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    kernel: str | None = None
    unreadable: tuple[str, ...] = ()
    running: bool = False
    has_symbols: bool = False

    def region(self, name: str) -> Region | None:
        """By node name, path or label; None where there is none."""
        return next((one for one in self.regions if name in (one.name, one.path, one.label)), None)


# What a running machine tells beside its tree


@dataclass(frozen=True, slots=True)
class Logged:
    """One region in the boot log. `range`: None where this kernel prints none; `flags`: `nomap non-reusable`, "" where not printed.
    `failed`: the kernel's words, where it did not come to be."""

    name: str
    range: Range | None = None
    flags: str = ""
    compatible: str | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class BootLog:
    """What the kernel logged of its memory map. `complete`: the log's first line is there, so that silence means something.
    `tells_places`: this kernel prints a line with the place of every region (6.3 and later)."""

    regions: tuple[Logged, ...] = ()
    default_cma: Range | None = None
    warnings: tuple[str, ...] = ()
    skipped_default: bool = False
    kernel: str | None = None
    complete: bool = False
    tells_places: bool = False


@dataclass(frozen=True, slots=True)
class IoEntry:
    """One line of /proc/iomem; `depth` 0 is the outermost."""

    range: Range
    name: str
    depth: int


@dataclass(frozen=True, slots=True)
class MapFacts:
    """What one machine tells, as read; None where it does not tell, and `unreadable` says why where it could not be read.

    `cma`: size by area; `heaps`: names in /dev/dma_heap; `reserved`, `memory`: memblock's lists.
    """

    tree: DeviceTree | None = None
    log: BootLog | None = None
    iomem: tuple[IoEntry, ...] | None = None
    memory: tuple[Range, ...] | None = None
    reserved: tuple[Range, ...] | None = None
    cma: Mapping[str, int | None] | None = None
    heaps: tuple[str, ...] | None = None
    command_line: str | None = None
    page_block: int | None = None
    kernel: str | None = None
    unreadable: tuple[str, ...] = ()


# What is wrong with it


class Severity(enum.Enum):
    """ERROR: will fail at boot or crash later. WARNING: works, and not as somebody thinks. NOTE: good to know; boards ship it."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class MapFinding:
    """One finding of a rule. `rule`: its name (`overlap`), stable. `place`: node path, `/memreserve/ 0x…..0x…` or `command line`.
    `what`: one sentence with the numbers; `why`: why it matters; `remedy`: what to do. `ranges`: the memory that it is about, to be
    drawn. `regions`: names of the regions concerned."""

    rule: str
    severity: Severity
    place: str
    what: str
    why: str
    remedy: str
    ranges: tuple[Range, ...] = ()
    regions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place}: {self.severity.value}: {self.what} [{self.rule}]"
