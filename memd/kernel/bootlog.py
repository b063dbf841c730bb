"""What the kernel logged of its memory map at boot: /dev/kmsg, else the journal.

Documents: Documentation/ABI/testing/dev-kmsg (3.5); wordings from drivers/of/of_reserved_mem.c, drivers/of/fdt.c,
kernel/dma/contiguous.c, kernel/dma/coherent.c, mm/cma.c of 4.x to 7.3.
Facts that bite: the line with a region's place is there since 6.3; before, only CMA and DMA pools have one ("created ... pool at"),
and the line that names the region follows it. "OVERLAP DETECTED!" has a line break inside one record, which /dev/kmsg escapes. The ring
forgets its oldest records; the journal keeps them. dmesg_restrict keeps both from users.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from memd.kernel.root import Root
from memd.model_map import BootLog, Logged, Range

KMSG = "dev/kmsg"
MOST_RECORDS = 65536
EARLY = 4000  # records of a boot in which all of this is said
RECORD = re.compile(r"^\d+,\d+,\d+,[^;]*;")
STAMP = re.compile(r"^(?:<\d+>)?(?:\S+ .*? kernel: )?(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?")
HEAD = r"(?:OF: )?(?:reserved mem|fdt|Reserved memory): (?:Reserved memory: )?"
NUMBER = r"(?:0x)?([0-9a-fA-F]{1,16})"
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}

PLACE = re.compile(
    rf"{HEAD}{NUMBER}\.\.{NUMBER} \((\d+) KiB\) ((?:no)?map (?:non-)?reusable) (.+)$"
)  # 6.3: aeb9267eb6b1
INITIALIZED = re.compile(rf"{HEAD}initialized node ([^,]+), compatible id (\S+)$")
CREATED = re.compile(rf"Reserved memory: created (?:CMA|DMA) memory pool at {NUMBER}, size (\d+) ([KM]iB)$")
DEFAULT = re.compile(rf"^cma: (?:CMA: )?[Rr]eserved (\d+) MiB at {NUMBER}(?: on node -?\d+)?$")
OVERLAP = re.compile(r"OVERLAP DETECTED!$")
OVERLAPPING = re.compile(r"^(\S+ \(.*?--.*?\) overlaps with \S+ \(.*?--.*?\))$")
SKIPPED = re.compile(
    r'(Skipping dt linux,cma-default .*"cma=" kernel param|bypass \S+ node, using cmdline CMA params)'
)
FAILED = (
    re.compile(rf"{HEAD}failed to allocate memory for node '([^']+)'"),
    re.compile(rf"{HEAD}failed to reserve memory for node '([^']+)'"),
    re.compile(rf"{HEAD}node (\S+) compatible matching fail$"),
    re.compile(rf"{HEAD}not enough space for all defined regions, skip '([^']+)'"),
    re.compile(rf"{HEAD}too many defined dynamic regions, skip '([^']+)'"),
    re.compile(rf"{HEAD}invalid \S+ property in '([^']+)'(?: node\.|, skipping node\.)"),
    re.compile(r"cma: CMA area (\S+) could not be activated$"),
)
WARNINGS = (
    re.compile(rf"{HEAD}unsupported node format, ignoring"),
    re.compile(rf"{HEAD}not enough space (?:for )?all defined regions\.?$"),
    re.compile(r"Reserved memory: incorrect alignment of CMA region"),
    re.compile(r"Reserved memory: unable to setup CMA region"),
    re.compile(r"Reserved memory: regions without no-map are not yet supported"),
    re.compile(r"Reserved memory: failed to init DMA memory pool"),
    re.compile(r"(?:Reserved memory: )?node '\S+' has \d+ <base size> entries, only the first is used"),
    re.compile(r"cma: Failed to reserve \d+ MiB"),
    re.compile(r"cma: Not enough slots for CMA reserved regions!"),
    re.compile(r"cma: (?:Region at|Size \().*"),
    re.compile(r"cma: Config string not provided"),
)
VERSION = re.compile(r"^Linux version (\S+)")


def read(root: Root) -> BootLog | None:
    """The running machine's; None where nobody keeps it. OSError where neither may be read (dmesg_restrict; a unit's sandbox)."""
    if not root.is_machine:  # the journal is this machine's, whatever a directory stands for
        return _ring(root)
    try:
        log = _ring(root)
    except OSError:
        if (kept := _from_journal()) is None:
            raise
        return kept
    return log if log and log.complete else _from_journal() or log


def _ring(root: Root) -> BootLog | None:
    return parse(_kmsg(root)) if root.exists(KMSG) else None


def _kmsg(root: Root) -> Iterator[str]:
    """A record for each read(2) of the device; a recorded machine has a plain file."""
    fd = os.open(root.path(KMSG), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        rest = b""
        for _ in range(MOST_RECORDS):
            try:
                chunk = os.read(fd, 65536)
            except BlockingIOError:
                break
            except BrokenPipeError:  # overwritten while we read; the next read gives the oldest that is left
                continue
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "surrogateescape") for line in lines)
        if rest:
            yield rest.decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)


def _from_journal() -> BootLog | None:
    """This boot's kernel messages; None without the journal or its library."""
    try:
        from systemd import journal
    except ImportError:
        return None
    with journal.Reader(journal.SYSTEM_ONLY) as reader:
        reader.this_boot()
        reader.add_match(_TRANSPORT="kernel")
        entries = (str(entry.get("MESSAGE", "")) for entry, _ in zip(reader, range(EARLY), strict=False))
        log = parse(entries)
    return log if log.complete else None


def parse(lines: Iterable[str]) -> BootLog:
    """Lines of /dev/kmsg, of dmesg, or of `journalctl -k`; what concerns no memory map is passed over."""
    reader = _Reader()
    for record in lines:
        for line in _message(record).split("\n"):
            reader.line(line.rstrip())
    return reader.log()


def _message(record: str) -> str:
    text = record[:4096]
    if RECORD.match(text):
        return text.partition(";")[2].replace("\\x0a", "\n")
    return STAMP.sub("", text, count=1)


class _Reader:
    """Line after line; a pool's place is printed just before its name."""

    def __init__(self) -> None:
        self._regions: dict[str, Logged] = {}
        self._warnings: list[str] = []
        self._pool: Range | None = None
        self._default: Range | None = None
        self._overlap = False
        self._skipped = False
        self._kernel: str | None = None
        self._tells_places = False

    def log(self) -> BootLog:
        return BootLog(
            regions=tuple(self._regions.values()),
            default_cma=self._default,
            warnings=tuple(self._warnings),
            skipped_default=self._skipped,
            kernel=self._kernel,
            complete=self._kernel is not None,
            tells_places=self._tells_places,
        )

    def line(self, text: str) -> None:
        if found := VERSION.match(text):
            self._kernel = self._kernel or found[1]
        elif "eserved" in text or "cma" in text or "OF: " in text or "overlaps" in text or "CMA" in text:
            self._of_map(text)

    def _of_map(self, text: str) -> None:
        if found := PLACE.search(text):
            self._place(found)
        elif found := INITIALIZED.search(text):
            self._put(found[1], range=self._pool, compatible=found[2])
            self._pool = None
        elif found := CREATED.search(text):
            self._pool = Range(int(found[1], 16), int(found[2]) * UNITS[found[3]])
        elif found := DEFAULT.search(text):
            self._default = self._default or Range(int(found[2], 16), int(found[1]) << 20)
        else:
            self._trouble(text)

    def _place(self, found: re.Match[str]) -> None:
        base, last = int(found[1], 16), int(found[2], 16)
        if base <= last:
            self._tells_places = True
            self._put(found[5], range=Range(base, last - base + 1), flags=found[4])

    def _trouble(self, text: str) -> None:
        if OVERLAP.search(text):
            self._overlap = True
        elif self._overlap and (found := OVERLAPPING.match(text)):
            self._overlap = False
            self._warnings.append(f"OVERLAP DETECTED! {found[1]}")
        elif SKIPPED.search(text):
            self._skipped = True
        elif any(pattern.search(text) for pattern in WARNINGS):
            self._warnings.append(text)
        else:
            self._failure(text)

    def _failure(self, text: str) -> None:
        for pattern in FAILED:
            if found := pattern.search(text):
                if not (self._skipped and "matching fail" in text):  # the kernel's way to skip the default node
                    self._warnings.append(text)
                self._put(found[1], failed=text)
                return

    def _put(self, name: str, **values: object) -> None:
        before = self._regions.get(name, Logged(name))
        fields = {key: value for key, value in values.items() if value}
        self._regions[name] = replace(before, **fields)  # type: ignore[arg-type]
