"""Nouns that cross rooms: frozen records and enums. Sizes in bytes, times in seconds, unless a field says otherwise.

The nouns that are needed before swap is on live in `early.py`, for the sake of import time.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from memd.early import EMPTY, Finding, Noun, SwapSettings, ZramSettings
from memd.model_care import CareSettings


class Level(enum.IntEnum):
    """Memory pressure, as PressureChanged tells it; ordered."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    CRITICAL = 3

    def __str__(self) -> str:
        return self.name.lower()


class HeapKind(enum.Enum):
    """What backs a heap. SIMULATED is a memfd, no DMA-BUF, and every listing says so."""

    SYSTEM = "system"
    CMA = "cma"
    UDMABUF = "udmabuf"
    SIMULATED = "simulated"


class Heap(Noun):
    """A heap that is there now. `path`: device node; `region`: the CMA area's name, where known; `device`: the driver
    that owns the region; `pinnable`: holders can keep its pages where no ledger sees them (kernel/pin.py)."""

    name: str
    kind: HeapKind
    path: str | None = None
    aliases: tuple[str, ...] = ()
    region: str | None = None
    device: str | None = None
    pinnable: bool = False

    @property
    def area(self) -> str:
        """What caps, books and workers go by: two heaps of one CMA area are one."""
        return self.region or self.name

    @property
    def words(self) -> frozenset[str]:
        """The heap's name and aliases."""
        return frozenset((self.name, *self.aliases))


class CmaAreas(Noun):
    """What heaps' names are read by. `default`: the default area's name; `names`: all areas; `owners`: area -> the driver's device node."""

    default: str = "reserved"
    names: frozenset[str] = frozenset()
    owners: dict[str, str] = EMPTY


class Caller(Noun):
    """Who calls, as the bus says. `owner`: who is charged (a unit, else `uid:N`); `gids` empty where NSS does not know the uid.
    `unit`: the system unit, None for users' processes, and where it cannot be known."""

    name: str
    uid: int
    gids: frozenset[int]
    pid: int
    owner: str
    unit: str | None = None

    @property
    def is_admin(self) -> bool:
        return self.uid == 0


class AreaCap(Noun):
    """`system:256M` or `my_cma:50%` of a limit. `heap`: the word as written; either `size` in bytes, or `share` (0..1) of the
    CMA area, of RAM where the heap has none."""

    heap: str
    size: int | None = None
    share: float | None = None


class Rule(Noun):
    """One [Allow NAME] section. Empty `units`, `users` and `groups` match nobody, `everyone` all; `heaps` may hold "*".

    Caps None are uncapped by this rule. `max_*`: what each owner may have of the heaps that the rule names; `total_*`: what all who
    were let in by this rule may have together; `*_in`: the same of one area. `exempt`: lent to at any pressure. `closed`: a value
    of it is wrong, so it refuses whom it matches; a broader rule must not give them more than was meant.
    """

    name: str
    units: frozenset[str] = frozenset()
    users: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    everyone: bool = False
    heaps: frozenset[str] = frozenset()
    priority: int = 0
    max_bytes: int | None = None
    max_bytes_in: tuple[AreaCap, ...] = ()
    max_buffers: int | None = None
    max_buffer_size: int | None = None
    total_bytes: int | None = None
    total_bytes_in: tuple[AreaCap, ...] = ()
    total_buffers: int | None = None
    exempt: bool = False
    closed: bool = False


class Bounds(Noun):
    """[Lending]: bounds on all lending together, whatever a rule says. `refuse_at`: the pressure from which nothing is lent to a rule
    that is not exempt; None: never refused for that. `deadline`: seconds that a caller waits for one heap."""

    max_buffer_size: int
    max_bytes: int
    max_buffers: int
    max_buffers_per_owner: int
    floor: int
    refuse_at: Level | None = Level.CRITICAL
    deadline: float = 10.0


class Usage(Noun):
    """What is charged now, reservations included: all lending; this owner's; this owner's share of the heaps that the deciding rule
    names; what all have by that rule; and of the heap's area, what this owner has, and what all have by that rule."""

    total_bytes: int = 0
    total_buffers: int = 0
    owner_bytes: int = 0
    owner_buffers: int = 0
    share_bytes: int = 0
    share_buffers: int = 0
    rule_bytes: int = 0
    rule_buffers: int = 0
    area_bytes: int = 0
    rule_area_bytes: int = 0


class Request(Noun):
    """One Allocate or AllocateMany after its arguments were checked: sizes are rounded up to pages."""

    heap: Heap
    sizes: tuple[int, ...]
    label: str = ""

    @property
    def total(self) -> int:
        return sum(self.sizes)


class Memory(Noun):
    """What admission looks at, less what is promised and not yet taken. CMA numbers are those of the heap's own region, None where the
    kernel does not tell; `swappable`: what could still be swapped out to make room for a movable page."""

    total: int
    available: int
    cma_free: int | None = None
    region_size: int | None = None
    region_available: int | None = None
    swappable: int = 0


class Verdict(Noun):
    """An admission decision. `error` is a name in memd.errors ("" if allowed); `reason` is one sentence with rule, limit and use.

    `limit` and `use`: of what refused, else of the tightest cap; bytes, or a count of buffers. `scope`: whose buffers, given back,
    would change a refusal: "owner", "all" or "" (nobody's).
    """

    allowed: bool
    rule: str
    reason: str
    error: str = ""
    limit: int = 0
    use: int = 0
    scope: str = ""


class Grant(NamedTuple):
    """A fresh buffer on its way to the caller. Whoever holds the Grant owns `fd` and closes it."""

    id: int
    fd: int
    size: int
    heap: str


LENT = "lent"
POOLED = "pooled"  # made ahead of demand and not lent yet: memd has its fd, and it goes with memd
RELEASING = "releasing"  # nobody has a file of it any more, and its memory is not seen back: charged as before
WRITTEN_OFF = "written-off"  # alive, and charged to nobody but all lending together: an administrator gave it up


class Buffer(NamedTuple):
    """A lent buffer in the books. `state`: LENT, RELEASING or WRITTEN_OFF. `time`: seconds of CLOCK_REALTIME. `rule`: the one that
    granted it. A tuple, as Grant is: one is made for each buffer, in a third of the time."""

    id: int
    heap: str
    size: int
    uid: int
    pid: int
    owner: str
    label: str
    time: float
    inode: int
    device: int
    rule: str = ""
    area: str = ""
    state: str = LENT


class PsiLine(Noun):
    """One line of /proc/pressure/memory: averages in percent, total in seconds."""

    avg10: float
    avg60: float
    avg300: float
    total: float


class Psi(Noun):
    some: PsiLine
    full: PsiLine | None


class Trigger(Noun):
    """One PSI trigger: `kind` "some" or "full", `stall` of each `window` (seconds), and the level it means."""

    kind: str
    stall: float
    window: float
    level: Level


class Refaults(Noun):
    """Bytes that came back since boot after they had been taken (`size`), as of `time` (seconds, monotonic)."""

    time: float
    size: int


class PressureSettings(Noun):
    """[Pressure]. `relief`: seconds without an event after which one level is given back; longer than any window. `hold`:
    seconds between two changes at the least. `low_memory_monitor`:
    whether memd is org.freedesktop.LowMemoryMonitor too. `units`: what systemd starts when a level is reached."""

    triggers: tuple[Trigger, ...]
    relief: float
    hold: float = 0.0
    low_memory_monitor: bool = True
    units: dict[Level, str] = EMPTY


class SwapFill(Noun):
    """Swap with zram counted by what it costs. `stored`: bytes of pages swapped out; `cost`: RAM that zram holds for its part;
    `free`: what can still be swapped out, zram's part limited by the RAM left to hold it."""

    size: int
    used: int
    cost: int
    free: int

    @property
    def fraction(self) -> float:
        """0 empty .. 1 nothing more fits; 0 where there is no swap."""
        reachable = self.used + self.free
        return self.used / reachable if reachable else 0.0


class CmaRegion(Noun):
    """One CMA area. None where this kernel does not tell."""

    name: str
    size: int | None = None
    available: int | None = None
    alloc_success: int | None = None
    alloc_fail: int | None = None


class CmaAllocation(Noun):
    """One request of a CMA area, as the kernel traced its end. `errno`: 0 if it was served; `pid`, `comm`: whose; `time`: monotonic."""

    region: str
    pages: int
    errno: int
    pid: int
    comm: str
    time: float


class Event(Noun):
    """One journal entry. `message_id`: a MESSAGE_* of names.py; `priority`: syslog's 0..7; `fields`: MEMD_* names in capitals."""

    message: str
    message_id: str
    priority: int
    fields: dict[str, str | int | float]


class Pool(Noun):
    """[Pool NAME]: `count` buffers of `size` bytes of heap `heap` (a caller's word), made ahead of demand. `rules`: names of those
    whose callers may have them; empty: every rule's."""

    name: str
    heap: str
    size: int
    count: int
    rules: frozenset[str] = frozenset()


class Config(Noun):
    """All of memd.conf and its drop-ins. `zrams`: [Zram], then each [Zram NAME]. `findings` non-empty means memd runs degraded and
    says so."""

    zrams: tuple[ZramSettings, ...]
    rules: tuple[Rule, ...]
    bounds: Bounds
    pressure: PressureSettings
    any_heaps: tuple[str, ...]
    unit_pressure: dict[str, PressureSettings] = EMPTY
    aliases: dict[str, tuple[str, ...]] = EMPTY
    swap: SwapSettings = SwapSettings()
    care: CareSettings = CareSettings()
    findings: tuple[Finding, ...] = ()
    pools: tuple[Pool, ...] = ()

    @property
    def zram(self) -> ZramSettings:
        """The first device."""
        return self.zrams[0]
