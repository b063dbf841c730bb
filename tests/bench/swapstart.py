"""From exec to active swap: memd beside bare-bones Python, beside Python that imports everything first, and beside zram-generator with
swapon where that is installed (or $ZRAM_GENERATOR names it), in turn in one run.

What counts is the ratio: the machine is not quiet, and all take turns on it. Needs root and a free zram device, which each run
uses, and gives back.
"""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.swapsettings import KEEP

TREE = Path(__file__).resolve().parent.parent.parent
RUNS = 15
SIZE = 256 << 20
# What the launcher in packaging/debian/bin does.
GENERATOR = os.environ.get("ZRAM_GENERATOR", "/usr/lib/systemd/system-generators/zram-generator")
GOAL = 0.8  # of zram-generator's time
MEMD = f"import os, sys; sys.path.append({str(TREE)!r}); from memd.main import main; os._exit(main(sys.argv[1:]))"
HEAVY = "import asyncio, dbus_next.aio, argparse, dataclasses, logging; "
# The same steps with nothing around them: no configuration, no check of anything, no undoing.
BARE = f"""
import ctypes, os, struct
name = "{{device}}"
def write(attribute, value):
    fd = os.open(f"/sys/block/{{{{name}}}}/{{{{attribute}}}}", os.O_WRONLY); os.write(fd, value.encode()); os.close(fd)
open("/proc/meminfo").read()
write("comp_algorithm", "lz4")
write("disksize", "{SIZE}")
page = bytearray(4096)
struct.pack_into("<III", page, 1024, 1, {SIZE} // 4096 - 1, 0)
page[1036:1052] = os.urandom(16)
page[4086:] = b"SWAPSPACE2"
fd = os.open(f"/dev/{{{{name}}}}", os.O_RDWR); os.write(fd, page); os.fsync(fd); os.close(fd)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.swapon(f"/dev/{{{{name}}}}".encode(), 0x8000 | 100 | 0x50000) == 0
"""


def free_device() -> str:
    for path in sorted(Path("/sys/block").glob("zram*")):
        if (path / "disksize").read_text().strip() == "0":
            return path.name
    raise SystemExit("bench: no free zram device; load zram, or add one through /sys/class/zram-control/hot_add")


def undo(device: str) -> None:
    subprocess.run(["swapoff", f"/dev/{device}"], check=True)
    for _ in range(100):
        try:
            Path(f"/sys/block/{device}/reset").write_text("1")
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"bench: {device} stays busy")


def once(command: list[str], device: str) -> float:
    """Seconds from exec until swap is on: /proc/swaps tells."""
    with open("/proc/swaps", "rb", buffering=0) as swaps:
        swaps.read()
        poll = select.poll()
        poll.register(swaps, select.POLLPRI)
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            poll.poll(30_000)
            seconds = time.perf_counter() - began
            assert process.stderr
            said = process.stderr.read()
    if f"{device} " not in Path("/proc/swaps").read_text():
        raise SystemExit(f"bench: no swap after {command[-1][:60]}: {said}")
    undo(device)
    return seconds


def generator(device: str, root: Path) -> list[str]:
    """zram-generator and swapon for the same device; `root`: where it reads its configuration and /proc/meminfo."""
    (root / "etc/systemd").mkdir(parents=True)
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(Path("/proc/meminfo").read_text())
    text = f"[{device}]\nzram-size = {SIZE >> 20}\ncompression-algorithm = lz4\n"
    (root / "etc/systemd/zram-generator.conf").write_text(text)
    script = (
        f"ZRAM_GENERATOR_ROOT={root} {GENERATOR} --setup-device {device} && swapon -p 100 -o discard /dev/{device}"
    )
    return ["sh", "-ec", script]


def commands(device: str, config: str) -> dict[str, list[str]]:
    python = [sys.executable, "-I"]
    heavy = f"import sys; sys.path += {[path for path in sys.path if 'site-packages' in path]!r}; " + HEAVY + MEMD
    options = ["--setup-swap", "--config", config]
    return {
        "bare-bones Python": [*python, "-S", "-c", BARE.format(device=device)],
        "memd --setup-swap": [*python, "-S", "-c", MEMD, *options],
        "memd, everything imported first": [*python, "-S", "-c", heavy, *options],
    }


def main() -> int:
    if os.geteuid() != 0:
        raise SystemExit("bench: swapon needs root")
    device = free_device()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "memd.conf")
        config.write_text(f"[Zram]\nSize={SIZE >> 20}M\nAlgorithms=lz4\nAllowInContainer=yes\n{KEEP}")
        rows = commands(device, str(config))
        if os.access(GENERATOR, os.X_OK):
            rows["zram-generator and swapon"] = generator(device, Path(folder, "root"))
        else:
            print(f"no {GENERATOR} (package systemd-zram-generator): not compared with it")
        times: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(RUNS + 1):  # the first fills caches and is not counted
            for name, command in rows.items():
                times[name].append(once(command, device))
    base = statistics.median(times["bare-bones Python"][1:])
    print(f"from exec to active swap, {SIZE >> 20}M, lz4, {RUNS} runs in turn:")
    for name, seconds in times.items():
        middle = statistics.median(seconds[1:])
        print(
            f"  {name:32} {1000 * min(seconds[1:]):6.1f} ms at best, {1000 * middle:6.1f} ms median, {middle / base:.2f} of bare-bones"
        )
    if "zram-generator and swapon" in times:
        peer = statistics.median(times["zram-generator and swapon"][1:])
        share = statistics.median(times["memd --setup-swap"][1:]) / peer
        print(f"  memd takes {share:.2f} of zram-generator's time; the goal is {GOAL} or less")
    return 0


if __name__ == "__main__":
    sys.exit(main())
