"""Device tree source to a flat tree, through cpp and dtc as a kernel's build does it; never in the daemon.

Both run with bounds on time, memory and output, so that a source that includes or expands for ever is an error and no dead machine.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from memd.errors import BadDeviceTree, NotSupported
from memd.kernel.devicetree import MAX_FLAT

SECONDS = 20
MEMORY = 1 << 30
MOST_TEXT = 64 << 20
PREFIXES = "scripts/dtc/include-prefixes"  # in a kernel's source: where dt-bindings are
NEEDS = {"cpp": "cpp", "dtc": "device-tree-compiler"}


def compiled(path: str, includes: Sequence[str]) -> bytes:
    """The flat tree of a `.dts`, with symbols. BadDeviceTree with the compiler's words; NotSupported where cpp or dtc is missing."""
    directories = [*includes, *_near(Path(path))]
    with tempfile.TemporaryFile() as text, open(path, "rb"):
        _run(["cpp", *_cpp(directories), path], None, text, path)
        text.seek(0)
        with tempfile.TemporaryFile() as flat:
            searched = [word for directory in directories for word in ("-i", directory)]
            _run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", "-", *searched, "-"], text, flat, path)
            flat.seek(0)
            return flat.read(MAX_FLAT)


def _cpp(directories: Sequence[str]) -> list[str]:
    searched = [word for directory in directories for word in ("-I", directory)]
    return ["-nostdinc", "-undef", "-D__DTS__", "-x", "assembler-with-cpp", *searched]


def _near(path: Path) -> list[str]:
    """Where a kernel's build looks: beside the file, and in the source tree that it lies in."""
    above = [parent / PREFIXES for parent in path.resolve().parents if (parent / PREFIXES).is_dir()][:1]
    return [str(path.resolve().parent), *map(str, above)]


def _run(command: list[str], source: BinaryIO | None, result: BinaryIO, path: str) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=source or subprocess.DEVNULL,
            stdout=result,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            preexec_fn=_bounds,  # memctl has one thread
            check=False,
        )
    except FileNotFoundError:
        package = NEEDS[command[0]]
        raise NotSupported(
            f"reading {path} needs {command[0]}: apt install {package}; or compile it yourself"
        ) from None
    except subprocess.TimeoutExpired:
        raise BadDeviceTree(path, f"kept {command[0]} busy for more than {SECONDS}s") from None
    if done.returncode:
        raise BadDeviceTree(path, f"can't be compiled: {_told(command[0], done.returncode, done.stderr)}")


def _bounds() -> None:
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, MOST_TEXT),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _told(program: str, status: int, errors: bytes) -> str:
    """The first words of the compiler, else how it ended."""
    lines = [line for line in errors[:65536].decode("utf-8", "replace").splitlines() if line.strip()]
    ended = f"{program} ended by signal {-status} (more than {MEMORY >> 30}G or {SECONDS}s?)" if status < 0 else ""
    return "; ".join(lines[:3]) or ended or f"{program}: exit status {status}"
