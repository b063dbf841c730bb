"""Metrics, history, and CMA failures, under the installed package."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import people
import pytest
from dmabuf import MiB
from people import output

from memd.client import Memd

HERE = Path(__file__).parent
HEAP = Path("/dev/dma_heap")


@pytest.fixture
def endpoint() -> Iterator[str]:
    output("systemctl", "start", "memd-metrics.socket")
    yield "http://127.0.0.1:9853/metrics"
    output("systemctl", "stop", "memd-metrics.socket", "memd-metrics.service")


def test_the_endpoint_is_started_by_a_scrape(endpoint: str) -> None:
    assert output("systemctl", "show", "-P", "ActiveState", "memd-metrics.service").strip() == "inactive"
    with urllib.request.urlopen(endpoint, timeout=30) as answer:
        text = answer.read().decode()
    assert "memd_up 1.0" in text
    assert "memd_pressure_level 0.0" in text
    assert "memd_owner_lent_bytes{" not in text, "it is a stranger to memd"
    assert output("systemctl", "show", "-P", "ActiveState", "memd-metrics.service").strip() == "active"
    assert "root" not in output(
        "ps", "-o", "user=", "-p", output("systemctl", "show", "-P", "MainPID", "memd-metrics").strip()
    )


def test_the_textfile_is_written_by_its_unit() -> None:
    directory = Path("/var/lib/prometheus/node-exporter")
    directory.mkdir(parents=True, exist_ok=True)
    output("systemctl", "start", "memd-textfile.service")
    written = (directory / "memd.prom").read_text()
    (directory / "memd.prom").unlink()
    assert "memd_up 1.0" in written


@pytest.mark.parametrize("unit", ["memd.service", "memd-metrics.service", "memd-textfile.service"])
def test_sandboxes_stay_tight(unit: str) -> None:
    told = output("systemd-analyze", "security", "--no-pager", unit).splitlines()[-1]
    assert float(told.split("service:")[1].split()[0]) <= 2.0


def ask_heap(heap: str, size: int) -> None:
    """A program of its own asks the kernel, without memd: it must fail."""
    script = (
        "import fcntl, os, struct\n"
        f"fd = os.open({str(HEAP / heap)!r}, os.O_RDONLY | os.O_CLOEXEC)\n"
        "try:\n"
        f"    fcntl.ioctl(fd, 0xC0184800, bytearray(struct.pack('QIIQ', {size}, 0, os.O_RDWR | os.O_CLOEXEC, 0)))\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
    )
    assert output(sys.executable, "-c", script).strip()


def ask_as_a_driver(heap: str, size: int) -> None:
    """cma_alloc() with no heap in between, as a driver calls it: debugfs has a file for that. It must fail."""
    pages = size // os.sysconf("SC_PAGE_SIZE")
    script = (
        "import glob\n"
        "import os\n"
        "(file,) = [one for one in glob.glob('/sys/kernel/debug/cma/*/alloc') if one.split('/')[-2] in ('reserved', 'cma-reserved')]\n"
        f"try:\n    os.write(os.open(file, os.O_WRONLY), b'{pages}\\n')\n"
        "except OSError as error:\n    print(error.errno)\n"
    )
    assert output(sys.executable, "-c", script).strip()


@pytest.mark.needs("heap:reserved", "cma-debugfs")
@pytest.mark.parametrize("ask", [ask_heap, ask_as_a_driver])
def test_a_failed_request_of_anybody_is_told_with_its_size_and_asker(ask: Callable[[str, int], None]) -> None:
    area = next(one for one in people.memctl("cma") if one["name"] == "reserved")
    heap = "default_cma_region" if (HEAP / "default_cma_region").exists() else "reserved"
    size = area.get("size") or 64 << 20
    size -= 0 if ask is ask_heap else MiB  # one that was not told of in the last second
    before = len(people.journal("MEMD_REGION=reserved", "MEMD_COMM=python3"))
    # With a part of it lent. 6.1 traces no request that is larger than the whole area.
    with people.hearing() as hear, Memd() as memd, memd.allocate("contiguous", 4 * MiB):
        ask(heap, size)
        signal = hear("CmaAllocationFailed", 10)
    assert "reserved" in signal
    # the signal is first, the journal keeps its own time
    assert people.eventually(lambda: len(people.journal("MEMD_REGION=reserved", "MEMD_COMM=python3")) == before + 1)
    told = people.journal("MEMD_REGION=reserved", "MEMD_COMM=python3")
    assert int(told[-1]["MEMD_SIZE"]) == size
    after = next(one for one in people.memctl("cma") if one["name"] == "reserved")
    assert after["failures"] > area["failures"]
    assert subprocess.run(["memctl", "cma", "--advise"], capture_output=True).returncode == (
        1 if "size" in after else 0
    )


@pytest.mark.needs("psi")
def test_history_is_what_memd_wrote_and_nobody_else() -> None:
    forged = ["logger", "--journald"]
    entry = "MESSAGE_ID=5013d00b166a4320bcb62a71db9c83a7\nMESSAGE=forged\nMEMD_LEVEL=critical\nMEMD_PREVIOUS=none\n"
    before = people.memctl("pressure", "--history", "1h")
    subprocess.run(forged, input=entry, text=True, check=True)
    subprocess.run(["journalctl", "--sync"], check=True)
    assert people.memctl("pressure", "--history", "1h") == before
    assert len(before) == len(people.journal("MESSAGE_ID=5013d00b166a4320bcb62a71db9c83a7"))


@pytest.mark.long
@pytest.mark.needs("psi")
@pytest.mark.timeout(400)
def test_an_idle_memd_does_not_wake_up() -> None:
    """Voluntary context switches of all its threads in 60 s: none."""
    people.calm()
    pid = output("systemctl", "show", "-P", "MainPID", "memd").strip()

    def switches() -> int:
        files = Path(f"/proc/{pid}/task").glob("*/status")
        return sum(int(file.read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0]) for file in files)

    time.sleep(10)
    before = switches()
    time.sleep(60)
    assert switches() - before == 0
