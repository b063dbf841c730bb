"""What runs before swap is on stays light: no heavy module is imported, and set-up starts no program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent
ROOTS = PACKAGE / "tests/roots"
HEAVY = {
    "argparse",
    "asyncio",
    "collections",
    "contextlib",
    "ctypes",
    "dataclasses",
    "enum",
    "functools",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "pathlib",
    "re",
    "shutil",
    "socket",
    "struct",
    "subprocess",
    "systemd",
    "tempfile",
    "typing",
}
BARE = "import sys; print(*sys.modules)"
SWAPPER = """
import sys
from memd.early import ZramSettings
from memd.kernel.root import Root
from memd.service import swapper, zramcalls

class Calls(zramcalls.Calls):
    def swapon(self, path, flags):
        from memd.kernel import swapon
        swapon.libc("access", path.encode(), 0)  # as swapon(2) is called, and harmless

outcome = swapper.set_up(Root(sys.argv[1]), ZramSettings(size="min(ram / 2, 1G)"), Calls(Root(sys.argv[1])))
assert outcome.state == "active", outcome
print(*sys.modules)
"""
DAEMON = """
import sys
from memd import main
assert main.main(["--setup-swap", "--root", sys.argv[1]]) == 1  # a machine in a directory: swapon is refused
print(*sys.modules)
"""

TUNE = """
import sys
from memd.early import SwapSettings
from memd.kernel.root import Root
from memd.service import swaptune
told = swaptune.apply(Root(sys.argv[1]), SwapSettings(swappiness=170))
assert "vm.swappiness is 170 now, and was 60" in told, told
print(*sys.modules)
"""


def modules(code: str, root: Path) -> set[str]:
    """What an interpreter without site-packages has loaded after `code`."""
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", code, str(root)],
        env={"PYTHONPATH": str(PACKAGE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    shutil.copytree(ROOTS / "zram-x86-16g", tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expect"))
    return tmp_path


@pytest.mark.parametrize("code", [SWAPPER, DAEMON], ids=["swapper", "memd --setup-swap"])
def test_nothing_heavy_is_imported_before_swap_is_on(machine: Path, code: str) -> None:
    brought = modules(code, machine) - modules(BARE, machine)

    assert brought & HEAVY == set()
    assert {name for name in brought if name.startswith("memd.")} >= {"memd.service.swapper", "memd.kernel.swapon"}


def test_nor_for_the_settings_that_a_boot_waits_for(machine: Path) -> None:
    swaps = "Filename Type Size Used Priority\n/dev/zram0 partition 1048576 0 100\n"
    for name, text in {"swaps": swaps, "sys/vm/swappiness": "60\n"}.items():
        (machine / "proc" / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / "proc" / name).write_text(text)

    assert (modules(TUNE, machine) - modules(BARE, machine)) & HEAVY == set()

    kept = json.loads((machine / "run/memd/sysctl.json").read_text())
    assert kept["vm/swappiness"] == {"before": 60, "set": 170, "ours": True}


def test_the_default_size_starts_no_program(machine: Path) -> None:
    """The interpreter's own audit hook sees every fork, exec and spawn."""
    watch = """
import sys
def hook(event, arguments):
    if event in {"os.fork", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen"}:
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(hook)
"""
    assert modules(watch + SWAPPER, machine)
    with pytest.raises(AssertionError, match="posix_spawn"):
        modules(watch + "import os; os.posix_spawn('/bin/true', ['true'], {})", machine)
