"""Record what this machine's kernel says while it stalls, for the golden cases of test_pressure_traces.py:

    python3 tests/policy/record_trace.py NAME SECONDS -- COMMAND...    (as root; COMMAND makes the stall)

One line of JSON for each 50 ms: time (s, from the start), PSI totals some and full (µs), MemTotal, MemAvailable, SwapTotal, SwapFree
(bytes), refaults (pages).
"""

import json
import subprocess
import sys
import time
from pathlib import Path

EVERY = 0.05
MEMINFO = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")


def look() -> dict[str, int]:
    facts = {}
    for line in Path("/proc/pressure/memory").read_text().splitlines():
        facts[line.split()[0]] = int(line.rpartition("=")[2])
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value = line.split(":")
        if name in MEMINFO:
            facts[name] = int(value.split()[0]) * 1024
    vmstat = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    facts["refaults"] = sum(int(vmstat.get(f"workingset_refault_{kind}", 0)) for kind in ("anon", "file"))
    return facts


def main() -> None:
    name, seconds, command = sys.argv[1], float(sys.argv[2]), sys.argv[4:]
    begun = time.monotonic()
    worker = subprocess.Popen(command)
    with (Path(__file__).parent / "traces" / f"{name}.jsonl").open("w") as file:
        while (now := time.monotonic() - begun) < seconds:
            file.write(json.dumps({"time": round(now, 3), **look()}) + "\n")
            time.sleep(EVERY)
    worker.wait()


if __name__ == "__main__":
    main()
