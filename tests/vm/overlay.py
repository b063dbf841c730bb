"""What is laid on a root file system for a run: kernel modules, the tests, the reference program, and how to start them."""

import shlex
import shutil
import subprocess
from pathlib import Path

import kernels
import planned
import qemu
from machines import Machine
from say import StepFailed

HERE = Path(__file__).parent
INSIDE = HERE / "inside"
BENCH = HERE.parent / "bench"
TESTS = "opt/memd-tests"
_GNU = {"amd64": "x86_64", "arm64": "aarch64"}


def common(directory: Path, arguments: list[str]) -> Path:
    """The files that every machine has: the guest's units, the tests, pytest's arguments."""
    shutil.copytree(HERE / "guest", directory, dirs_exist_ok=True)
    shutil.copytree(INSIDE, directory / TESTS / "inside", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (directory / TESTS / "args").write_text(shlex.join(arguments))
    return directory


def plans(common: Path, machine: Machine, work: Path) -> None:
    """The files of what was planned for this machine, for `memctl map verify` in it."""
    work.mkdir()
    qemu.board(machine, work)
    for file in work.glob("plan-*.json"):
        (common / TESTS / planned.INSIDE).mkdir(exist_ok=True)
        shutil.copy(file, common / TESTS / planned.INSIDE)


def native(directory: Path, arch: str, built: list[Path]) -> Path:
    """The files of one architecture: the modules of the kernels `built`, and the reference program."""
    for kernel in built:
        shutil.copytree(kernel / "modules/lib", directory / "usr/lib", symlinks=True, dirs_exist_ok=True)
    compile_programs(directory / TESTS, arch)
    return directory


def bench(common: Path) -> None:
    """The benchmark's own clients and floor service in C, and the bare program that memd's start is held against."""
    for source in (BENCH / "c").glob("*.c"):
        command = [
            "cc",
            "-std=gnu11",
            "-O2",
            "-Wno-unused-result",
            "-o",
            str(common / TESTS / source.stem),
            str(source),
            "-lsystemd",
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise StepFailed(f"{done.stderr}\nthe benchmark needs the package libsystemd-dev")
    shutil.copy(BENCH / "bare.py", common / TESTS)
    for name in ("tests/bench/pressure.py", "tests/host/stall.py"):
        (common / TESTS / name).parent.mkdir(parents=True)
        shutil.copy(HERE.parents[1] / name, common / TESTS / name)


def compile_programs(directory: Path, arch: str) -> None:
    """Compile inside/*.c statically, each to a program named by its stem."""
    directory.mkdir(parents=True, exist_ok=True)
    for source in INSIDE.glob("*.c"):
        target = directory / source.stem
        command = [
            kernels.compiler(_GNU[arch]),
            "-static",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(target),
            str(source),
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise StepFailed(done.stderr)
