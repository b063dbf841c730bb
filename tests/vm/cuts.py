"""Power cuts at each step of what memd does with zram: the machine says on its console which step comes next, and is killed there.

One disk, and a second one that zram writes back to, remember through all of it. Each boot first looks at what the cut before has left
(inside/test_memd_cut.py), then begins what the next cut interrupts; where set-up is cut, the boot after that looks at both.
"""

import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

from machines import Machine
from report import Result, Results
from say import ENDING, say

# Set-up is cut before any test can run, so each is followed by one that looks. The words are those of inside/mishap.py.
STEPS = (
    *("setup-algorithm", "change-disksize", "care-promise"),
    *("setup-backing", "change-signature", "care-promise-half"),
    *("setup-disksize", "change-swapon", "care-write", "care-written"),
    *("setup-signature", "change-drain", "care-settle"),
    *("setup-swapon", "change-half", "care-settle-half"),
    *("setup-tune", "change-reset", "care-recompress", "change-keep", "care-compact"),
)
OLD = ("care-recompress",)  # what 6.1 does not do
TOLD = re.compile(rb"memd-step: (\S+) (\d+) \.")
NEXT = "test_the_power_goes"
DEADLINE = 600.0  # from power to the step, emulated and beside others
FLASH = 64 << 20

Boot = Callable[[str], AbstractContextManager[Popen[bytes]]]


def of(machine: Machine) -> tuple[str, ...]:
    """The steps at which the long run cuts this machine's power."""
    return {"x86_64": STEPS, "x86_64-6.1": tuple(step for step in STEPS if step not in OLD)}.get(machine.name, ())


def run(boot: Boot, work: Path, results: Results, steps: tuple[str, ...] = STEPS) -> None:
    """Every step once. `boot`: a machine that is told these words more. What each boot found goes to `results`."""
    unseen, written = ["no cut"], 0
    for step in steps:
        began = time.monotonic()
        say(f"{results.machine}: power until {step}")
        for name in ("serial", "results"):
            (work / name).unlink(missing_ok=True)
        words = f"memd.cut={step} memd.written={written} memd.files=test_memd_cut memd.without= memd.tests=all"
        with boot(words) as process:
            cut = _until(process, work, step)
        _take(work / "results", results, ", ".join(unseen))
        seconds = time.monotonic() - began
        detail = "" if cut is not None else f"the machine never came to {step}"
        results.add(Result(f"power cut at {step}", "passed" if cut is not None else "failed", seconds, detail))
        if ENDING.is_set():
            return
        unseen = [*(unseen if step.startswith("setup") else []), step]  # where set-up is cut, no test has run
        written += cut or 0


def _until(process: Popen[bytes], work: Path, step: str) -> int | None:
    """Waits for the step; the bytes that were written back until then, or None if it never came."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and process.poll() is None and not ENDING.wait(0.2):
        for name, count in TOLD.findall(_read(work / "serial")):
            if name.decode() == step:
                return int(count)
    return None


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _take(path: Path, results: Results, after: str) -> None:
    """What this boot found, each test named after the cut that it looked at."""
    for line in _read(path).splitlines():
        message = json.loads(line)
        if "outcome" in message and not (message["test"].endswith(NEXT) and message["outcome"] == "passed"):
            message["test"] += f" after {after}"
            results.take(json.dumps(message).encode())
        if "collected" in message:
            results.collected += [f"{test} after {after}" for test in message["collected"] if not test.endswith(NEXT)]
