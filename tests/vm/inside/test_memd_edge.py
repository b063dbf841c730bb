"""A machine that thrashes until the OOM killer ends what fills it: memd answers, stays in RAM, and outlives it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import people
import pytest
from people import output

pytestmark = [pytest.mark.needs("psi"), pytest.mark.timeout(500)]
HERE = Path(__file__).parent
Told = Callable[[str, object], None]
PATIENCE = 25.0  # seconds, of a D-Bus client that was told nothing else
FILL = (
    "import mmap, os\nblock = os.urandom(4 << 20)\nheld = []\n"  # nothing that zram could compress
    "while True:\n    one = mmap.mmap(-1, 4 << 20)\n    one[:] = block\n    held.append(one)\n"
    "    for other in held[-40:]:\n        other[0 : 4 << 20 : 4096] = b'x' * 1024\n"
)


def process() -> str:
    return output("systemctl", "show", "-P", "MainPID", "memd").strip()


def memory(pid: str, key: str) -> int:
    """KiB, of /proc/PID/status."""
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{key}:")[1].split()[0])


def edge() -> dict[str, dict[str, float]]:
    """What the locked client saw while the machine was filled until something was killed; and VmSwap of memd, at the most."""
    pid, swapped = process(), 0
    with people.hearing() as hear, people.started(sys.executable, HERE / "locked_asker.py", 200) as asker:
        people.wait_line(asker, "locked", 30)
        fill = ["systemd-run", "--wait", "--quiet", "--collect", "--unit=memd-fill", "-p", "OOMScoreAdjust=1000"]
        filler = subprocess.Popen([*fill, "-p", "RuntimeMaxSec=150", sys.executable, "-c", FILL])
        try:
            assert "PressureChanged" in hear("PressureChanged", 110)
            while filler.poll() is None:
                swapped = max(swapped, memory(pid, "VmSwap"))
                time.sleep(0.5)
        finally:
            filler.kill()
            subprocess.run(["systemctl", "stop", "memd-fill"], capture_output=True)
        asker.send_signal(signal.SIGTERM)
        seen = json.loads(people.wait_line(asker, "{", 60))
    assert process() == pid, "memd was not what the killer took"
    people.calm()
    seen["memd"]["swapped_kib"] = swapped
    return dict(seen)


def words(seen: dict[str, dict[str, float]]) -> str:
    """Of what was seen, a line."""
    answers = (f"{name} {one['median']:.2f} s, at the longest {one['longest']:.1f} s" for name, one in seen.items())
    return f"{seen['memd']['asked']} calls: {'; '.join(answers)}; VmSwap of memd {seen['memd']['swapped_kib']} KiB"


def answers(told: Told) -> dict[str, dict[str, float]]:
    seen = edge()
    told("told", words(seen))
    assert seen["memd"]["asked"] >= 20
    assert seen["memd"]["median"] < 2
    assert seen["memd"]["longest"] < PATIENCE, "no client has given up"
    return seen


@pytest.mark.long
def test_at_the_edge_memd_still_answers_and_is_not_swapped_out(record_property: Told) -> None:
    assert answers(record_property)["memd"]["swapped_kib"] <= 1024, "MemoryMin= holds"
