"""The decision without memd is memd's: the same rules, over a machine in a directory and over the configuration that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memd import config
from memd.cli import exits, explain_alone
from memd.cli.main import main
from memd.errors import InvalidArgs, NoSuchHeap
from memd.kernel.root import Root
from memd.model import Caller, Level
from memd.service.broker import Broker
from memd.service.heaps import Heaps

M = 1 << 20
MEMINFO = "MemTotal: 1048576 kB\nMemFree: 524288 kB\nMemAvailable: 524288 kB\nCmaTotal: 65536 kB\nCmaFree: 65536 kB\n"
RULES = """
[Allow all]
Everyone=yes
Heaps=system
MaxBytes=8M
[Allow one]
User=1000
Heaps=contiguous system
MaxBuffers=3
"""


@pytest.fixture
def machine(put: Callable[[str, str | bytes], None], root: Root) -> Root:
    put("proc/meminfo", MEMINFO)
    put("proc/swaps", "Filename Type Size Used Priority\n")
    put("etc/memd/memd.conf", RULES)
    put("dev/dma_heap/system", "")
    put("dev/dma_heap/reserved", "")
    put("sys/kernel/mm/cma/reserved/total_pages", "16384\n")
    put("sys/kernel/mm/cma/reserved/available_pages", "16384\n")
    put("proc/cmdline", "cma=64M\n")
    return root


CASES = [
    (uid, heap, size)
    for uid in (0, 1000, 2000)
    for heap in ("system", "contiguous", "any")
    for size in (4096, 9 * M, 900 * M)
]


@pytest.mark.parametrize(("uid", "heap", "size"), CASES)
async def test_it_says_what_memd_would(machine: Root, uid: int, heap: str, size: int) -> None:
    settings = config.load(machine, 1 << 30)
    heaps = Heaps(machine, False, settings.aliases, settings.any_heaps)
    broker = Broker(machine, settings, heaps, lambda _event: None, lambda: Level.NONE)
    caller = Caller("", uid, explain_alone._groups(uid, None), 0, f"uid:{uid}")
    verdict, info = await broker.can_allocate(caller, heap, size)
    await broker.close()

    allowed, alone = explain_alone.decision(heap, size, uid=uid, root=machine)

    assert (allowed, alone) == (verdict.allowed, {**info, "without_memd": True})


def test_a_process(machine: Root) -> None:
    allowed, info = explain_alone.decision("system", 4096, pid=os.getpid(), root=machine)

    assert allowed == (os.geteuid() == 0 or info["rule"] == "all")
    with pytest.raises(InvalidArgs, match="no process 0"):
        explain_alone.decision("system", 4096, pid=0, root=machine)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(InvalidArgs, match="no process"):
        explain_alone.decision("system", 4096, pid=child.pid, root=machine)


def test_bad_words(machine: Root) -> None:
    with pytest.raises(NoSuchHeap, match="heaps of this machine: reserved, system"):
        explain_alone.decision("nosuch", 4096, uid=0, root=machine)
    with pytest.raises(InvalidArgs, match="no uid"):
        explain_alone.decision("system", 4096, uid=1 << 32, root=machine)


def test_memctl_says_that_memd_does_not_run(
    machine: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_alone, "Root", lambda: machine)
    words = ["--bus", f"unix:path={tmp_path}/nowhere", "config", "--explain", "uid:2000", "system", "9M"]

    assert main(words) == exits.BAD_NEWS
    told = capsys.readouterr().out
    assert "rule all: the owner may have 8M, 0B in use, 9M asked for" in told
    assert told.endswith("memd does not run: so it would be if it did now, and had lent nothing\n")
    assert main(["--json", *words]) == exits.BAD_NEWS
    assert json.loads(capsys.readouterr().out)["without_memd"] is True
