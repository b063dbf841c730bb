"""A daemon that nobody notices: memory and wake-ups of an idle memd with all features on, beside the peers."""

import time
from collections.abc import Callable

import peers
import people

# What is off by default, on: each feature costs its imports.
ALL = """[Pool bench]
Heap=system
Size=4K
Count=1
[Pressure system.slice]
Low=some 200ms 2s
"""
SECONDS = 60


def bench_idle(row: Callable[..., None]) -> None:
    """One after the other: low-memory-monitor wants a name that memd has."""
    with people.rules(ALL):
        people.output("systemctl", "restart", "memd")
        size, woken = watched({"memd": peers.main_pid("memd")})
    people.output("systemctl", "stop", "memd")
    try:
        with peers.running(*peers.SERVICES) as pids:
            sizes, others = watched({name: pids[name] for name in peers.SERVICES})
    finally:
        people.output("systemctl", "start", "memd")
    row("idle PSS", "nohang", [size["memd"]], [sizes["nohang"]])
    for name, value in (size | sizes).items():
        row(f"idle PSS of {name}", "MB", [value])
    row("wake-ups in 60 s idle", "", [woken["memd"]])
    for name, count in others.items():
        row(f"wake-ups in 60 s idle of {name}", "", [count])


def watched(pids: dict[str, int]) -> tuple[dict[str, float], dict[str, int]]:
    """MB of PSS, and wake-ups in a minute."""
    peers.settle(15)
    sizes = {name: peers.pss(pid) for name, pid in pids.items()}
    before = {name: peers.switches(pid) for name, pid in pids.items()}
    time.sleep(SECONDS)
    return sizes, {name: peers.switches(pid) - before[name] for name, pid in pids.items()}
