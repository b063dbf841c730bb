"""From a stall that crosses the threshold to the signal at a client, and the wake-ups of an idle memd; as root, where memd runs.

    pressure.py latency [STALLS]     beside low-memory-monitor and systemd-oomd on the same stalls, where they are installed
    pressure.py idle [SECONDS]       voluntary context switches of all threads, beside earlyoom, nohang and the others that run

The crossing is seen by reading /proc/pressure/memory every 5 ms: the moment in which `some` grew by the threshold within one window.
"""

from __future__ import annotations

import collections
import contextlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.path.append(str(TREE))

from memd.client import Memd  # noqa: E402
from tests.host.stall import Stall  # noqa: E402

WINDOW, THRESHOLD = 1.0, 0.1  # memd's trigger of level low: some 100ms 1s
STALL = 3.0
DROP_IN = Path("/run/memd/memd.conf.d/99-bench.conf")
OTHERS = ("low-memory-monitor", "systemd-oomd")
DAEMONS = ("memd", *OTHERS, "earlyoom", "nohang")
MONITOR = "org.freedesktop.LowMemoryMonitor"
RULES = {
    "low-memory-monitor": f"type='signal',interface='{MONITOR}'",
    "systemd-oomd": "type='signal',interface='org.freedesktop.oom1.Manager'",
}


class Crossing(threading.Thread):
    """`at`: when the stall crossed; None until then."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.at: float | None = None
        self.over = False

    def run(self) -> None:
        seen: collections.deque[tuple[float, float]] = collections.deque()
        while not self.over and self.at is None:
            now, total = time.monotonic(), stalled()
            seen.append((now, total))
            while seen[0][0] < now - WINDOW:
                seen.popleft()
            if total - seen[0][1] >= THRESHOLD:
                self.at = now
            time.sleep(0.005)


def stalled() -> float:
    line = Path("/proc/pressure/memory").read_text().splitlines()[0]
    return int(line.rpartition("=")[2]) / 1e6


class Signals(threading.Thread):
    """When a signal of a rule came first since `clear`: `dbus-monitor` hears the others, memd's own client hears memd."""

    def __init__(self, rule: str) -> None:
        super().__init__(daemon=True)
        self.first: float | None = None
        command = ["dbus-monitor", "--system", "--profile", rule]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("sig") and "NameAcquired" not in line and "NameLost" not in line:
                self.first = self.first or time.monotonic()

    def clear(self) -> None:
        self.first = None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.join()
        if self._process.stdout:
            self._process.stdout.close()


def wait_for_calm() -> None:
    with Memd() as memd:
        while memd.status()["pressure"]["level"] != "none":
            time.sleep(0.2)
    time.sleep(WINDOW + 1)


@contextlib.contextmanager
def side_by_side() -> Iterator[list[str]]:
    """memd leaves low-memory-monitor its name; who is installed runs."""
    there = [
        name for name in OTHERS if subprocess.run(["systemctl", "cat", name], capture_output=True).returncode == 0
    ]
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text("[Pressure]\nLowMemoryMonitor=no\nRelief=1500ms\n")
    try:
        subprocess.run(["systemctl", "reload", "memd"], check=True)
        for name in there:
            subprocess.run(["systemctl", "start", name], check=True)
        yield there
    finally:
        for name in there:
            subprocess.run(["systemctl", "stop", name])
        DROP_IN.unlink()
        subprocess.run(["systemctl", "reload", "memd"])


def latency(stalls: int) -> int:
    taken = measure(stalls)
    for name, times in taken.items():
        told = (
            f"median {statistics.median(times) * 1e3:.0f} ms, worst {max(times) * 1e3:.0f} ms"
            if times
            else "no signal"
        )
        print(f"{name}: {told}; {len(times)} of {stalls} stalls told")
    for name in set(OTHERS) - set(taken):
        print(f"{name}: not installed here")
    good = kept(taken, stalls)
    print(f"bound: one window and 50 ms, {(WINDOW + 0.05) * 1e3:.0f} ms: {'kept' if good else 'BROKEN'}")
    return 0 if good else 1


def kept(taken: dict[str, list[float]], stalls: int) -> bool:
    """Whether memd told each stall, and in time."""
    return len(taken["memd"]) == stalls and statistics.median(taken["memd"]) <= WINDOW + 0.05


def measure(stalls: int) -> dict[str, list[float]]:
    """Seconds from each stall's crossing to the signal, by who told it: memd, and who of the others is installed."""
    with side_by_side() as there:
        rules = {"memd": "type='signal',interface='org.memd1.Manager',member='PressureChanged'"}
        rules |= {name: RULES[name] for name in there}
        ears = {name: Signals(rule) for name, rule in rules.items()}
        taken: dict[str, list[float]] = {name: [] for name in ears}
        for ear in ears.values():
            ear.start()
        for number in range(stalls):
            wait_for_calm()
            one(ears, taken)
            print(f"stall {number + 1} of {stalls}", file=sys.stderr, flush=True)
        for ear in ears.values():
            ear.end()
    return taken


def one(ears: dict[str, Signals], taken: dict[str, list[float]]) -> None:
    crossing = Crossing()
    for ear in ears.values():
        ear.clear()
    crossing.start()
    with Stall(STALL):
        time.sleep(STALL)
    time.sleep(WINDOW)
    crossing.over = True
    crossing.join()
    if crossing.at is None:
        raise SystemExit("bench: the machine did not stall; it is too quick for tests/host/stall.py")
    for name, ear in ears.items():
        if ear.first is not None:
            taken[name].append(max(ear.first - crossing.at, 0.0))


def switches(pid: str) -> int:
    """Voluntary context switches of all threads so far."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += int(status.read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def idle(seconds: float) -> int:
    pids = {}
    for name in DAEMONS:
        pid = subprocess.run(
            ["systemctl", "show", "-P", "MainPID", name], capture_output=True, text=True
        ).stdout.strip()
        if pid not in {"", "0"}:
            pids[name] = pid
    time.sleep(3)  # what this very look woke up
    before = {name: switches(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    for name, pid in pids.items():
        print(f"{name}: {switches(pid) - before[name]} wake-ups in {seconds:g} s")
    return 0 if switches(pids["memd"]) == before["memd"] else 1


def main(words: list[str]) -> int:
    if words[:1] == ["latency"]:
        return latency(int(words[1]) if len(words) > 1 else 20)
    if words[:1] == ["idle"]:
        return idle(float(words[1]) if len(words) > 1 else 60.0)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
