"""memctl buffers --holders: every process that holds a buffer, and how; and the DMA-BUFs that memd did not lend."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

from memd.cli.render import Look, safe, table
from memd.errors import AccessDenied, BadKernelFile
from memd.kernel import cgroup, holders, process
from memd.kernel.holders import FD, MAP, PATH, File, Hold
from memd.kernel.root import Root
from memd.names import SIMULATED
from memd.policy import owners
from memd.units import format_seconds, format_size

if TYPE_CHECKING:
    from memd.client.types import BufferFacts

HEADS = ("ID", "HEAP", "SIZE", "STATE", "OWNER", "AGE", "LABEL", "PID", "COMMAND", "USER", "OF", "HOW")
SLOW = 1.0  # seconds after which a terminal is told how far it is


class Holder(TypedDict):
    """One process. `owner`: who would be charged if it asked; `fds`, `paths`: numbers of open files, O_PATH ones apart; `maps`: a count."""

    pid: int
    command: str
    user: str
    owner: str
    fds: list[int]
    paths: list[int]
    maps: int


class Held(TypedDict, total=False):
    """A buffer of memd's (`lent`: as ListBuffers has it) or another's. `elsewhere`: references that no process has: fds in flight, and
    drivers; absent where nobody has an fd that would tell. `name`: as its holders wrote it, escaped."""

    lent: BufferFacts
    size: int
    exporter: str
    name: str
    device: int
    inode: int
    holders: list[Holder]
    elsewhere: int


class Survey:
    """One look at all processes. `unseen`: those that could not be looked at."""

    def __init__(self, root: Root) -> None:
        self.unseen: list[int] = []
        self._root = root
        self._holds: dict[File, list[Hold]] = {}
        self._who: dict[int, Holder] = {}

    def look(self) -> None:
        """AccessDenied for all but root, who alone may see others' fds."""
        if os.geteuid() != 0:
            raise AccessDenied("--holders looks into all processes, which is for root; run it with sudo")
        for pid in _told(holders.pids(self._root)):
            try:
                self._process(pid)
            except (PermissionError, BadKernelFile):
                self.unseen.append(pid)

    def of(self, row: BufferFacts) -> Held:
        return {"lent": row, **self._held((row["device"], row["inode"]))}

    def others(self, lent: Iterable[BufferFacts]) -> list[Held]:
        """DMA-BUFs that are held and not in `lent`, which are all of memd's."""
        rows = list(lent)
        known = {(row["device"], row["inode"]) for row in rows}
        devices = {row["device"] for row in rows if row["heap"] != SIMULATED}
        devices |= {hold.file[0] for held in self._holds.values() for hold in held if hold.info}
        return [self._held(file) for file in sorted(self._holds) if file[0] in devices and file not in known]

    def _process(self, pid: int) -> None:
        """All or nothing of a process: a number that is given anew meanwhile must not mix two."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            held = holders.of_process(self._root, pid)
            who = _who(self._root, pid, pidfd) if held else None
            if who is None or not cgroup.alive(pidfd):
                return
        finally:
            os.close(pidfd)
        self._who[pid] = who
        for hold in held:
            self._holds.setdefault(hold.file, []).append(hold)

    def _held(self, file: File) -> Held:
        holds = self._holds.get(file, [])
        info = next((hold.info for hold in holds if hold.info), None)
        held: Held = {"device": file[0], "inode": file[1], "holders": [self._holder(one) for one in _by_pid(holds)]}
        if info:
            counted = sum(hold.how != PATH for hold in holds)
            name = info.name.decode("utf-8", "backslashreplace")
            held |= {"size": info.size, "exporter": info.exporter, "name": name}
            held["elsewhere"] = max(info.references - counted, 0)
        return held

    def _holder(self, holds: Sequence[Hold]) -> Holder:
        return {
            **self._who[holds[0].pid],
            "fds": [hold.where for hold in holds if hold.how == FD],
            "paths": [hold.where for hold in holds if hold.how == PATH],
            "maps": sum(hold.how == MAP for hold in holds),
        }


def text(held: Sequence[Held], others: Sequence[Held], now: float, look: Look) -> str:
    rows = [row for one in (*held, *others) for row in _rows(one, now)]
    if not rows:
        return "no buffers\n"
    return table(look, HEADS, rows, frozenset({"ID", "SIZE", "AGE", "PID"}))


def _by_pid(holds: Iterable[Hold]) -> list[list[Hold]]:
    found: dict[int, list[Hold]] = {}
    for hold in holds:
        found.setdefault(hold.pid, []).append(hold)
    return [found[pid] for pid in sorted(found)]


def _who(root: Root, pid: int, pidfd: int) -> Holder | None:
    """None if it has gone."""
    import psutil

    found = process.read(root, pid)
    try:
        one = psutil.Process(pid)
        command, user = one.name(), one.username()
    except (psutil.NoSuchProcess, KeyError):
        return None
    if found is None:
        return None
    try:
        owner, _ = owners.of(cgroup.read(root, pidfd), found[0])
    except OSError:
        owner = owners.by_uid(found[0])
    return {"pid": pid, "command": command, "user": user, "owner": owner, "fds": [], "paths": [], "maps": 0}


def _told(pids: Sequence[int]) -> Iterator[int]:
    """Someone at a terminal who waits is told how far it is."""
    began, shown = time.monotonic(), False
    for number, pid in enumerate(pids):
        if sys.stderr.isatty() and time.monotonic() - began > SLOW and number % 20 == 0:
            print(f"\rlooking at process {number} of {len(pids)}", end="", file=sys.stderr, flush=True)
            shown = True
        yield pid
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _rows(held: Held, now: float) -> Iterator[tuple[str, ...]]:
    """One line for each process; the buffer itself stands in the first."""
    head = _head(held, now)
    for one in held["holders"]:
        who = (str(one["pid"]), safe(one["command"]), safe(one["user"]), safe(one["owner"]))
        yield (*head, *who, _how(one))
        head = ("",) * len(head)
    if not held["holders"] or held.get("elsewhere"):
        count = held.get("elsewhere")
        how = f"{count} in flight in a socket, or of a driver" if count else "in flight in a socket, or of a driver"
        yield (*head, "-", "in no process", "", "", how)


def _head(held: Held, now: float) -> tuple[str, ...]:
    if "lent" in held:
        row = held["lent"]
        age = format_seconds(max(now - row["time"], 0))
        return (
            str(row["id"]), safe(row["heap"]), format_size(row["size"]), safe(row["state"]), safe(row["owner"]), age,
            safe(row["name"]),
        )  # fmt: skip
    size = format_size(held["size"]) if "size" in held else "?"
    return "-", safe(held.get("exporter", "?")), size, "not memd's", "", "", safe(held.get("name", ""))


def _how(one: Holder) -> str:
    parts = [f"fd {' '.join(map(str, one['fds']))}"] if one["fds"] else []
    parts += [f"O_PATH fd {' '.join(map(str, one['paths']))}"] if one["paths"] else []
    parts += [f"map {one['maps']}" if one["maps"] > 1 else "map"] if one["maps"] else []
    return ", ".join(parts)
