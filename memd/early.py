"""Nouns of the early path: what is needed before swap is on; and `Noun`, which those of `model.py` are too.

Why not dataclasses: importing them (and `typing`, `enum`, `re`) costs more than the whole of sizing, signing and switching on zram, and
making forty of them, which writes and compiles source text for each, a quarter of a start. `Noun` is the few lines of them that memd
needs; type checkers see a frozen dataclass.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar, dataclass_transform

    N = TypeVar("N", bound="Noun")
else:

    def dataclass_transform(**_options):
        return lambda cls: cls


EMPTY: dict[Any, Any] = {}  # a default; nobody writes into a noun


@dataclass_transform(frozen_default=True)
class Noun:
    """A frozen record: annotations are the fields, class attributes their defaults."""

    _fields: tuple[str, ...] = ()
    _defaults: dict[str, Any] = EMPTY

    def __init_subclass__(cls) -> None:
        cls._fields = tuple(cls.__annotations__)
        cls._defaults = {name: cls.__dict__[name] for name in cls._fields if name in cls.__dict__}

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self.__dict__
        fields.update(self._defaults)
        fields.update(zip(self._fields, values))  # noqa: B905  # too many: looked at below
        fields.update(named)
        if len(fields) != len(self._fields) or len(values) + len(named) > len(fields):
            raise TypeError(
                f"{type(self).__name__} has the fields {', '.join(self._fields)}, not these: {values} {named}"
            )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__[name] for name in self._fields))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"


def replace(noun: N, **changes: Any) -> N:
    """The same noun with other values for some fields."""
    return type(noun)(**{**noun.__dict__, **changes})


class MemInfo(Noun):
    """/proc/meminfo in bytes; None is a line that this kernel does not have."""

    total: int
    available: int
    free: int
    swap_total: int | None = None
    swap_free: int | None = None
    cma_total: int | None = None
    cma_free: int | None = None


class Swap(Noun):
    """One line of /proc/swaps; sizes in bytes."""

    path: str
    kind: str
    size: int
    used: int
    priority: int


class ZramStat(Noun):
    """One initialised or empty zram device; sizes in bytes, the last two counts in pages (None: an older kernel)."""

    name: str
    disksize: int
    initstate: bool
    algorithm: str
    algorithms: tuple[str, ...]
    original: int = 0
    compressed: int = 0
    mem_used: int = 0
    mem_limit: int = 0
    mem_used_max: int = 0
    same_pages: int = 0
    huge_pages: int | None = None
    backed: int = 0  # bytes of `original` that lie on a backing device, and take no RAM


class ZramSettings(Noun):
    """One device: [Zram], `name` "", or [Zram NAME]. `size`, `mem_limit`: expressions as text (None: the default curve; no limit).
    `algorithms`: in order of preference, `recompress`: secondary ones, each as `zstd(level=3)`. None: left to the kernel. Priority
    -1..32767. `enabled` and `allow_in_container` are said in [Zram], for all devices."""

    name: str = ""
    enabled: bool = True
    size: str | None = None
    algorithms: tuple[str, ...] = ("zstd", "lz4", "lzo-rle", "lzo")
    recompress: tuple[str, ...] = ()
    mem_limit: str | None = None
    backing_device: str | None = None
    backing_encrypted: bool = True
    compressed_writeback: bool | None = None
    writeback_batch: int | None = None
    priority: int = 100
    discard: bool = True
    allow_in_container: bool = False


class ZramOutcome(Noun):
    """What set-up did and why, in one sentence. `state`: "active", "adopted", "off" (nothing wanted) or "failed"."""

    state: str
    reason: str
    device: str | None = None
    disksize: int | None = None
    algorithm: str | None = None
    notes: tuple[str, ...] = ()


class Finding(Noun):
    """Something wrong in a configuration file. `severity`: "warning" (ignored and used without) or "error" (Reload refuses)."""

    file: str
    line: int
    section: str
    key: str
    message: str
    severity: str = "error"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        place = f"[{self.section}]" + (f" {self.key}=" if self.key else "")
        return f"{where}{place}: {self.message}" if self.section else f"{where}{self.message}"


class BlockDevice(Noun):
    """A block device that may become zram's backing device. `held`: somebody has it open for himself; `holders`: devices that stand on
    it, on its disk or on its partitions; `children`: its partitions; `resume`: hibernation reads its image there; `signature`: blkid's
    words, None where nobody can tell."""

    path: str
    name: str
    size: int
    held: bool = False
    holders: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    resume: bool = False
    read_only: bool = False
    signature: dict[str, str] | None = None


class SwapSettings(Noun):
    """The [Swap] section; None: the kernel's value stays. What they mean: Documentation/admin-guide/sysctl/vm.rst."""

    swappiness: int | None = 180
    page_cluster: int | None = 0
    watermark_scale_factor: int | None = 125
    watermark_boost_factor: int | None = 0
