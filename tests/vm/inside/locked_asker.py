"""Asks memd for its status, and the bus driver for its own id, in turn, until it is told to stop (SIGTERM) or the seconds are over:
locked_asker.py SECONDS. Its pages are locked before, so what it measures is the two and not itself. One line of JSON at the end: of each
how often it was asked, and the median and longest answer in seconds."""

import ctypes
import gc
import json
import signal
import statistics
import sys
import threading
import time

from memd.client import Memd

MCL_CURRENT, MCL_FUTURE = 1, 2
DRIVER = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId")


def told(times: list[float]) -> dict[str, float]:
    return {"asked": len(times), "median": statistics.median(times), "longest": max(times)}


def main(seconds: float) -> None:
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    memd = Memd(timeout=120, lane=False)
    times: dict[str, list[float]] = {"memd": [], "bus": []}
    memd.status()
    gc.freeze()
    if ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE):
        raise SystemExit("mlockall is refused")
    print("locked", flush=True)
    end = time.monotonic() + seconds
    while not over.is_set() and time.monotonic() < end:
        for name, ask in (("bus", lambda: memd._connection.call(DRIVER)), ("memd", memd.status)):
            begun = time.monotonic()
            ask()
            times[name].append(time.monotonic() - begun)
        time.sleep(0.25)
    print(json.dumps({name: told(taken) for name, taken in times.items()}), flush=True)


main(float(sys.argv[1]))
