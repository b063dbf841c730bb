"""What GetStatus, ListBuffers and the rest give, for type checkers only: nothing imports this at run time.

Sizes in bytes, times in seconds. A key of a `total=False` class is absent where the machine does not tell; never 0 instead.
This is also what `memctl --json` prints.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class _MemoryKnown(TypedDict):
    total: int
    available: int
    free: int


class MemoryFacts(_MemoryKnown, total=False):
    swap_total: int
    swap_free: int
    cma_total: int
    cma_free: int


class _ZramKnown(TypedDict):
    device: str
    disksize: int
    algorithm: str
    original: int
    compressed: int
    mem_used: int
    mem_limit: int
    mem_used_max: int
    same_pages: int


class CareFacts(TypedDict):
    """What one step of the last round won: RAM that zram held before and after, bytes written, seconds.
    `skipped`: why it was not done, or why it ended early."""

    work: str
    before: int
    after: int
    written: int
    seconds: float
    skipped: str
    failed: bool


class MaintenanceFacts(TypedDict, total=False):
    """`next`: seconds until the next round; `postponed`: why the last one was; `day_left` of `day_budget`: bytes to a backing device."""

    enabled: bool
    period: float
    next: float
    postponed: str
    day_budget: int
    day_left: int


class ZramFacts(_ZramKnown, total=False):
    """`original`: bytes of pages stored, `compressed`: their bytes after, `mem_used`: RAM that it really costs, overhead included.
    `room`: bytes of pages that it could still take at today's ratio; `huge_*`: pages that did not get smaller, now and ever; `backed`:
    bytes on the backing device now, `written_back` and `read_back` ever."""

    priority: int
    swap_used: int
    room: int
    huge_pages: int
    huge_since: int
    compacted: int
    failed_reads: int
    failed_writes: int
    backing_device: str
    backing_size: int
    backed: int
    written_back: int
    read_back: int
    recompressors: list[str]
    maintenance: list[CareFacts]


class SwapFacts(TypedDict):
    path: str
    kind: str
    size: int
    used: int
    priority: int


class FillFacts(TypedDict):
    """All swap together; `cost`: RAM that zram holds for its part; `free`: what can still be swapped out; `fraction`: 0..1."""

    size: int
    used: int
    cost: int
    free: int
    fraction: float


class _CmaKnown(TypedDict):
    name: str


class CmaFacts(_CmaKnown, total=False):
    size: int
    available: int
    alloc_success: int
    alloc_fail: int
    alloc_success_since: int
    alloc_fail_since: int
    largest_run: int
    fragmentation: float
    state: str
    peak: int
    failures: int
    largest_failed: int
    largest_asked: int
    needed: int


class _HeapKnown(TypedDict):
    name: str
    kind: str
    simulated: bool
    aliases: list[str]
    lent_bytes: int
    lent_buffers: int


class HeapFacts(_HeapKnown, total=False):
    region: str
    device: str


class LendingFacts(TypedDict):
    """All owners together, what they may have, and how often anybody was refused since memd started."""

    lent_bytes: int
    lent_buffers: int
    max_bytes: int
    max_buffers: int
    refused: int


class _OwnerKnown(TypedDict):
    owner: str
    lent_bytes: int
    lent_buffers: int
    refused: int


class OwnerFacts(_OwnerKnown, total=False):
    """One owner; root sees those who have most, others themselves."""

    last_refusal: str


class UnitPressureFacts(TypedDict):
    """Of one `[Pressure UNIT]`; `watched`: false while it does not run."""

    unit: str
    level: str
    since: float
    watched: bool
    cgroup: NotRequired[str]
    some_avg10: NotRequired[float]
    some_avg60: NotRequired[float]
    full_avg10: NotRequired[float]
    full_avg60: NotRequired[float]


class MapCounts(TypedDict):
    """Regions that are not disabled, and findings of `memctl map check` by severity."""

    regions: int
    errors: int
    warnings: int
    notes: int


class PressureFacts(TypedDict, total=False):
    """Averages in percent of the last 10 and 60 seconds. `level`, `since` (seconds in this level) and `mode` are GetStatus's, the
    sizes from `total` on are of the facts that a PressureChanged carries."""

    level: str
    since: float
    mode: str
    some_avg10: float
    some_avg60: float
    full_avg10: float
    full_avg60: float
    total: int
    available: int
    swap_total: int
    swap_free: int
    cma_total: int
    cma_free: int
    swap_fill: FillFacts


class PoolFacts(TypedDict):
    """One pool: buffers of `size` bytes, `ready` of `count`."""

    name: str
    heap: str
    size: int
    count: int
    ready: int


class Status(TypedDict):
    version: str
    pid: int
    uptime: float
    simulated: bool
    degraded: list[str]
    missing: list[str]
    swap_words: list[str]
    memory: MemoryFacts
    zram_state: str
    zram_reason: str
    maintenance: MaintenanceFacts
    zram: list[ZramFacts]
    swap: list[SwapFacts]
    swap_fill: FillFacts
    cma: list[CmaFacts]
    heaps: list[HeapFacts]
    pools: list[PoolFacts]
    lending: LendingFacts
    owners: list[OwnerFacts]
    pressure: PressureFacts
    unit_pressure: NotRequired[list[UnitPressureFacts]]
    board: NotRequired[str]
    map: NotRequired[MapCounts]


class BufferFacts(TypedDict):
    """One lent buffer; `name`: its label; `time`: when it was lent, seconds of CLOCK_REALTIME; `inode`, `device`: st_ino and st_dev of
    its file, by which it is known in any process."""

    id: int
    heap: str
    size: int
    state: str
    uid: int
    pid: int
    owner: str
    name: str
    time: float
    inode: int
    device: int


class JobFacts(TypedDict):
    """`state`: running, done, failed, cancelled; `progress` 0..1; `message`: what was done or why not, "" while it runs."""

    state: str
    progress: float
    message: str
    device: str
