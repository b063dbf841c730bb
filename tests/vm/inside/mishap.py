"""What happens to a memd on its way, at a named step: `KIND:STEP` in $MEMD_MISHAP, or `memd.cut=STEP` on the kernel command line.

Kinds, all before the step is done:
- `power`: it says `memd-step: STEP BYTES` on stderr and stops there, for who cuts the power (BYTES: what zram has written back so far);
- `kill`: SIGKILL; `half`: half of a signature is written first;
- `spoil`: the signature is wiped, and the step is taken: the kernel itself refuses;
- a name of errno: the kernel refuses.
"""

import errno
import importlib
import os
import signal
import sys
import time
from pathlib import Path

# STEP -> module, what there, how often it passes by first
STEPS = {
    "setup-algorithm": ("memd.kernel.zram", "set_algorithm", 0),
    "setup-backing": ("memd.kernel.mapping", "open_plain", 0),
    "setup-disksize": ("memd.kernel.zram", "set_disksize", 0),
    "setup-signature": ("memd.kernel.mkswap", "write", 0),
    "setup-swapon": ("memd.kernel.swapon", "swapon", 0),
    "setup-tune": ("memd.service.swaptune", "apply", 0),
    "change-disksize": ("memd.kernel.zram", "set_disksize", 0),
    "change-signature": ("memd.kernel.mkswap", "write", 0),
    "change-swapon": ("memd.kernel.swapon", "swapon", 0),
    "change-drain": ("memd.service.zramdrain", "Drain.run", 0),
    "change-half": ("memd.service.zramdrain", "Drain._tell", 0),
    "change-reset": ("memd.service.zramdrain", "Drain._give_back", 0),
    "change-keep": ("memd.config_dropin", "DropIn.keep", 0),
    "care-promise": ("memd.service.wear", "_replace", 0),
    "care-promise-half": ("os", "rename", 0),
    "care-write": ("memd.kernel.zramcare", "write_back", 0),
    "care-written": ("memd.kernel.zramcare", "write_back", 1),
    "care-settle": ("memd.service.wear", "_replace", 1),
    "care-settle-half": ("os", "rename", 1),
    "care-recompress": ("memd.kernel.zramcare", "recompress", 0),
    "care-compact": ("memd.kernel.zramcare", "compact", 0),
}
WORDS = {"setup": "--setup-swap", "change": "--change-swap"}  # whose step it is


def told() -> str:
    line = Path("/proc/cmdline").read_text().split()
    cut = [word.partition("=")[2] for word in line if word.startswith("memd.cut=")]
    return os.environ.get("MEMD_MISHAP") or (f"power:{cut[0]}" if cut else "")


def prepare(arguments: list[str]) -> None:
    """In this process, if it is one that takes the step."""
    kind, _, step = told().partition(":")
    if step and WORDS.get(step.split("-")[0], "") in ["", *arguments]:
        lay(kind, step)


def lay(kind: str, step: str) -> None:
    module, path, passes = STEPS[step]
    place = importlib.import_module(module)
    *outer, name = path.split(".")
    for each in outer:
        place = getattr(place, each)
    real, count = getattr(place, name), 0

    def instead(*arguments: object, **words: object) -> object:
        nonlocal count
        count += 1
        if count == passes + 1:
            happen(kind, step, arguments)
        return real(*arguments, **words)

    setattr(place, name, instead)


def happen(kind: str, step: str, arguments: tuple[object, ...]) -> None:
    if kind == "power":
        say(f"\nmemd-step: {step} {written_back()} .\n")
        time.sleep(3600)
    node = next((word for word in arguments if isinstance(word, str) and "/dev/" in word), "")
    if kind in ("half", "spoil"):
        half(node, b"memd" if kind == "half" else b"")
    if kind == "spoil":
        return
    if kind in ("kill", "half"):
        os.kill(os.getpid(), signal.SIGKILL)
    number = getattr(errno, kind)
    raise OSError(number, os.strerror(number))


def half(node: str, label: bytes) -> None:
    """Half of a signature: what makes it swap is not there."""
    with open(node, "r+b", buffering=0) as device:
        device.write((bytes(1024) + b"\1\0\0\0" + bytes(24) + label).ljust(os.sysconf("SC_PAGE_SIZE"), b"\0"))
        os.fsync(device.fileno())


def say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def written_back() -> int:
    """Bytes, by all zram devices of this boot."""
    stats = [path.read_text().split() for path in Path("/sys/block").glob("zram*/bd_stat")]
    return sum(int(words[2]) * 4096 for words in stats)
