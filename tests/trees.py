"""Device trees for tests: source text in, what memd reads out. dtc and cpp make them, as for a kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

from memd.kernel import devicetree
from memd.model_map import MemoryMap
from memd.policy import mapread

MAPS = Path(__file__).parent / "maps"
HEAD = '/dts-v1/;\n/ { model = "A board"; compatible = "a,board"; #address-cells = <2>; #size-cells = <2>;\n'
RESERVED = "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;\n"


def compiled(text: str, *options: str) -> bytes:
    """A flat tree of source text; dtc's warnings are nobody's business here."""
    done = subprocess.run(
        ["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", *options], input=text.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def preprocessed(path: Path) -> str:
    command = ["cpp", "-nostdinc", "-undef", "-D__DTS__", "-x", "assembler-with-cpp", "-P", str(path)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def vendor() -> bytes:
    """The vendor's page as a flat tree, with symbols."""
    return compiled(preprocessed(MAPS / "vendor.dts"))


def board(reserved: str, rest: str = "") -> str:
    """Source of a board with 2 + 2 cells, these children of /reserved-memory, and `rest` beside it."""
    return f"{HEAD}{RESERVED}{reserved}}};\n{rest}}};\n"


def memory_map(text: str) -> MemoryMap:
    return mapread.read(devicetree.parse(compiled(text), "a.dtb"))
