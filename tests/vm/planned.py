"""Boards whose memory map memd itself has planned: plan after plan is made and applied on the host, as an image's build would do it."""

import subprocess
import sys
from pathlib import Path

from say import StepFailed

CHECKOUT = Path(__file__).parents[2]
PYTHON = "/usr/bin/python3"  # Debian's, which has python3-libfdt
INSIDE = "plans"


def make(source: Path, wishes: tuple[str, ...], memory: int, work: Path) -> tuple[Path, str]:
    """The board of `source` with every wish fulfilled in turn: its .dtb, and what the plans put on the command line.

    Each plan's file is left in `work` as plan-N.json, in the order of the wishes.
    """
    words = ""
    for number, wish in enumerate(wishes):
        directory = work / f"plan-{number}"
        told = ["map", "plan", source.name, *wish.split(), "--ram", f"{memory}M@0x40000000", "--kernel", "7.2"]
        told += ["--cma", words.removeprefix("cma=")] if words else []
        _run([PYTHON, "-m", "memd.cli", *told, "-o", str(directory)], source.parent)
        words = _argument(wish) or words
        source = _applied(source, directory, work / f"board-{number}.dts")
        (directory / "plan.json").rename(work / f"plan-{number}.json")
    return _compiled(source, work / "planned.dtb"), words


def _argument(wish: str) -> str:
    first, _, value = wish.partition(" ")
    return f"cma={value.split()[0]}" if first == "--set-cma" else ""


def _applied(source: Path, directory: Path, result: Path) -> Path:
    """Patched where something moves, overlaid where something is new or larger; as source again, for the next plan."""
    patched = result.parent / source.name
    if (directory / "plan.patch").exists():
        _run(["patch", "-s", "-p1", "-i", str(directory / "plan.patch")], source.parent)
    tree = _compiled(patched, result.with_suffix(".base.dtb"))
    if (directory / "plan.dtso").exists():
        overlay, merged = directory / "plan.dtbo", result.with_suffix(".merged.dtb")
        _run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", str(overlay), str(directory / "plan.dtso")])
        _run(["fdtoverlay", "-i", str(tree), "-o", str(merged), str(overlay)])
        tree = merged
    _run(["dtc", "-q", "-I", "dtb", "-O", "dts", "-o", str(result), str(tree)])
    return result


def _compiled(source: Path, result: Path) -> Path:
    _run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", str(result), str(source)])
    return result


def _run(command: list[str], where: Path | None = None) -> None:
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=where, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        msg = f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}"
        raise StepFailed(msg)


if __name__ == "__main__":  # to look at what the machine would get: planned.py BOARD.dts MIB WORK WISH...
    print(make(Path(sys.argv[1]), tuple(sys.argv[4:]), int(sys.argv[2]), Path(sys.argv[3])))
