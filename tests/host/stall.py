"""A real memory stall of this machine, on purpose: bounded in memory (64M) and time, and gone afterwards.

    with Stall(seconds=10) as stall:    # CannotStall if this machine allows none of the ways
        print(stall.how)

or `python stall.py [SECONDS]` (status 1, and why on standard error, if it can't). No file, no swap and no OOM kill is
involved; the processes take all processors.
The ways, the first that works:
- cgroup v2: processes that touch memory above memory.high are put to sleep by the kernel, and that sleep is a stall;
- cgroup v1: a sleeping process is at memory.limit_in_bytes with the OOM killer off for its group, and others, outside of it, write to
  its memory (/proc/PID/mem): each try makes the kernel reclaim in vain, which is a stall, and then fails with EIO;
- the first by systemd-run, for who may not make cgroups (`--user` if not root).
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType

LIMIT = 16 << 20
MAX = 64 << 20
EATEN = 40 << 20  # above LIMIT, well below MAX: nobody is killed
PAGE = 4096
DEFAULT = 6.0  # three windows of 2 s
GRACE = 5  # seconds after which the processes end by themselves, whatever became of their parent
PREFIX = "memd-stall-"


class CannotStall(Exception):
    """Each way, and why not."""


class Stall:
    """Stalls from `with` to its end, `seconds` at the most. `how`: one sentence."""

    def __init__(self, seconds: float) -> None:
        self.how = ""
        self._seconds = seconds
        self._processes: list[subprocess.Popen[str]] = []
        self._directory = ""

    def __enter__(self) -> Stall:
        reasons = []
        for name, way in WAYS.items():
            try:
                self.how = way(self)
            except (OSError, ValueError, CannotStall) as error:
                self.stop()
                reasons.append(f"{name}: {error}")
            except BaseException:
                self.stop()
                raise
            else:
                return self
        raise CannotStall("; ".join(reasons))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            if process.stdout:
                process.stdout.close()
        self._processes.clear()
        if self._directory:
            _remove(self._directory)
            self._directory = ""

    def run(self, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
        """Start this file as a worker; its first line, when it has begun. CannotStall if it ends instead."""
        command = [*prefix, sys.executable, os.path.abspath(__file__), *arguments, str(self._seconds + GRACE)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._processes.append(process)
        assert process.stdout
        line = process.stdout.readline().strip()
        if not line.startswith("ready"):
            raise CannotStall(line or f"{command[0]} ended at once")
        return line

    def make(self, mount: str, settings: Mapping[str, int]) -> str:
        """A fresh cgroup with these settings; it is removed by `stop`."""
        _remove_left_over(mount)
        self._directory = os.path.join(mount, f"{PREFIX}{os.getpid()}")
        os.mkdir(self._directory)
        for name, value in settings.items():
            _write(os.path.join(self._directory, name), value)
        return self._directory


def cgroup2(stall: Stall) -> str:
    mount = next(mounts("cgroup2"), None)
    if mount is None:
        raise CannotStall("not mounted")
    with open(f"{mount}/cgroup.subtree_control") as control:
        if "memory" not in control.read().split():
            raise CannotStall("its root gives no memory controller to its children")
    settings = {"memory.high": LIMIT, "memory.max": MAX}
    group = stall.make(mount, settings)
    with contextlib.suppress(FileNotFoundError):  # a kernel without swap
        _write(f"{group}/memory.swap.max", 0)
    stall.run("eat", group)
    return f"processes above memory.high={LIMIT >> 20}M of a cgroup of their own"


def cgroup1(stall: Stall) -> str:
    mount = next(mounts("cgroup", "memory"), None)
    if mount is None:
        raise CannotStall("no memory controller mounted")
    settings = {"memory.limit_in_bytes": LIMIT, "memory.swappiness": 0, "memory.oom_control": 1}
    _, process, address = stall.run("hold", stall.make(mount, settings)).split()
    for worker in range(os.cpu_count() or 1):
        stall.run("poke", process, str(int(address) + worker * PAGE))
    return f"writes to a process at memory.limit_in_bytes={LIMIT >> 20}M"


def systemd(stall: Stall) -> str:
    program = shutil.which("systemd-run")
    if program is None or not os.path.isdir("/run/systemd/system"):
        raise CannotStall("systemd does not run here")
    limits = (f"MemoryHigh={LIMIT}", f"MemoryMax={MAX}", "MemorySwapMax=0")
    user = () if os.geteuid() == 0 else ("--user",)
    properties = tuple(word for limit in limits for word in ("-p", limit))
    stall.run("eat", "", prefix=(program, *user, "--scope", "--quiet", *properties))
    return f"processes above MemoryHigh={LIMIT >> 20}M of a scope of systemd"


WAYS: dict[str, Callable[[Stall], str]] = {"cgroup v2": cgroup2, "cgroup v1": cgroup1, "systemd-run": systemd}


def mounts(kind: str, option: str | None = None) -> Iterator[str]:
    with open("/proc/self/mounts") as table:
        for line in table:
            _, where, what, options, *_ = line.split()
            if what == kind and (option is None or option in options.split(",")):
                yield where


def _write(path: str, value: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def _remove(directory: str) -> None:
    """A cgroup is busy until the kernel is done with its last process."""
    for _ in range(100):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    print(f"stall: {directory} can't be removed", file=sys.stderr)


def _remove_left_over(mount: str) -> None:
    """Groups of runs that were killed: their processes died with them, or will in time."""
    for name in os.listdir(mount):
        if name.startswith(PREFIX) and not os.path.exists(f"/proc/{name.removeprefix(PREFIX)}"):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(mount, name))


# The workers: processes of their own, since they are stopped, throttled and killed.


def _end_in_time(seconds: str) -> None:
    prctl = ctypes.CDLL(None).prctl
    prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.setitimer(signal.ITIMER_REAL, float(seconds))  # the default of SIGALRM is the end


def hold(group: str) -> None:
    """Enter the cgroup and sleep; the memory that others fill is here."""
    region = mmap.mmap(-1, MAX)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    line = f"ready {os.getpid()} {address}\n".encode()
    _write(f"{group}/cgroup.procs", os.getpid())
    os.write(1, line)
    signal.pause()


def poke(process: str, address: str) -> None:
    """Write to fresh pages of the other process, as far as the limit lets, and on."""
    os.write(1, b"ready\n")
    at = int(address)
    end = at + MAX // 2
    fd = os.open(f"/proc/{process}/mem", os.O_WRONLY)
    while True:
        try:
            os.pwrite(fd, b"x", at)
        except OSError:
            continue  # the limit: the kernel has reclaimed in vain
        at = min(at + PAGE * (os.cpu_count() or 1), end)


def eat(group: str) -> None:
    """Enter the cgroup, and touch memory above its memory.high, again and again, in a process per processor."""
    if group:
        _write(f"{group}/cgroup.procs", os.getpid())
    parts = os.cpu_count() or 1
    deadline = signal.getitimer(signal.ITIMER_REAL)[0]
    for _ in range(parts - 1):
        if os.fork() == 0:
            _end_in_time(str(deadline))
            break
    else:
        os.write(1, b"ready\n")
    region = mmap.mmap(-1, EATEN // parts, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    while True:
        for at in range(0, len(region), PAGE):
            region[at] = 1
        region.madvise(mmap.MADV_DONTNEED)


def _stalled() -> float:
    """Seconds of `some` since boot; 0 without PSI."""
    try:
        with open("/proc/pressure/memory") as file:
            return int(file.readline().rpartition("=")[2]) / 1e6
    except OSError:
        return 0.0


def main(arguments: list[str]) -> int:
    workers: dict[str, Callable[..., None]] = {"hold": hold, "poke": poke, "eat": eat}
    if len(arguments) > 1 and arguments[0] in workers:
        name, *rest, limit = arguments
        _end_in_time(limit)
        workers[name](*rest)
    seconds = float(arguments[0]) if arguments else DEFAULT
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = _stalled()
    try:
        with Stall(seconds) as stall:
            print(f"stalling for {seconds:g} s by {stall.how}", flush=True)
            time.sleep(seconds)
    except CannotStall as error:
        print(f"this machine allows no stall: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"stalled {_stalled() - before:.1f} s of {seconds:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
