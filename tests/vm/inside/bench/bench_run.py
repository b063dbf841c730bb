"""A program under memctl run: 10 000 allocations beside the heap's own ioctl as root, and calls that are not stopped beside themselves."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import people
import pytest
from people import MEMBER

SPEED = Path(__file__).parents[2] / "speed"
HEAP = "/dev/dma_heap/system"
ROUNDS, EACH = 10, 1000
CALLS = 100_000


def bench_allocations(row: Callable[..., None], users: None) -> None:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(once("heap", HEAP, EACH))
        ours.append(under("heap", HEAP, EACH))
    row("memctl run, 10 000 of 4 KiB", "the heap's ioctl as root", ours, theirs)
    row("4 KiB under memctl run", "µs", [value / 1000 for value in ours])
    row("4 KiB by the ioctl as root", "µs", [value / 1000 for value in theirs])


@pytest.mark.parametrize("call", ["getppid", "ioctl"])
def bench_other_calls(row: Callable[..., None], users: None, call: str) -> None:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(once(call, CALLS))
        ours.append(under(call, CALLS))
    what = {"getppid": "getppid", "ioctl": "an ioctl of another kind"}[call]
    row(f"memctl run, {what}", "without it", ours, theirs)
    row(f"{what} under memctl run", "ns", ours)
    row(f"{what} without it", "ns", theirs)


def once(*words: object) -> float:
    """ns of a call, as root."""
    return float(subprocess.run([SPEED, *map(str, words)], check=True, capture_output=True, text=True).stdout)


def under(*words: object) -> float:
    """The same under memctl run, as a user without a right to the heap's node."""
    done = people.run(MEMBER, "memctl", "run", "--", SPEED, *words)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)
