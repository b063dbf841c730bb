"""Kernels with DMA-BUF heaps and CMA, built once from Debian's own kernel source: no ready-made Debian kernel has all that memd serves.

The source of the newest series moves; what a cache was built from is recorded and stays, until a fragment changes or the cache is cleared.
"""

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apt
import cache
from say import StepFailed, step

CONFIG = Path(__file__).parent / "config"
PREFIX = "linux-source"


@dataclass(frozen=True, slots=True)
class Series:
    """Where a kernel source comes from: the newest package not below `least`, in `suites`."""

    name: str
    least: tuple[int, int]
    suites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel to build: an architecture, a series, and the fragments of its configuration."""

    name: str
    arch: str
    series: Series
    fragments: tuple[str, ...]


NEW = Series("new", (7, 2), ("trixie-backports", "forky", "sid"))
OLD = Series("old", (6, 1), ("bookworm",))
X86_64 = Kernel("x86_64", "x86_64", NEW, ("common", "new", "x86_64"))
ARM64 = Kernel("arm64", "arm64", NEW, ("common", "new", "arm64"))
ARM64_THP = Kernel("arm64-thp", "arm64", NEW, ("common", "new", "arm64", "thp"))
X86_64_OLD = Kernel("x86_64-6.1", "x86_64", OLD, ("common", "6.1", "x86_64"))

_MAKE = {
    "x86_64": ["ARCH=x86_64"],
    "arm64": ["ARCH=arm64", *([] if os.uname().machine == "aarch64" else ["CROSS_COMPILE=aarch64-linux-gnu-"])],
}
_IMAGE = {"x86_64": "bzImage", "arm64": "Image"}


def ready(kernels: list[Kernel]) -> dict[str, Path]:
    """The directory of each kernel by name, holding `vmlinuz`, `modules/`, `config` and `source`; builds what is missing."""
    for series in dict.fromkeys(kernel.series for kernel in kernels):
        wanted = [kernel for kernel in kernels if kernel.series == series]
        if not all(_path(kernel).is_dir() for kernel in wanted):
            with cache.lock(f"source-{series.name}"):
                _build_series(series, wanted)
    return {kernel.name: _path(kernel) for kernel in kernels}


def _record(series: Series) -> Path:
    return cache.root() / f"source-{series.name}"


def _path(kernel: Kernel) -> Path:
    record = _record(kernel.series)
    source = record.read_text() if record.exists() else ""
    return cache.root() / f"kernel-{kernel.name}-{cache.digest(source, kernel.arch, *_wanted(kernel))}"


def _wanted(kernel: Kernel) -> list[str]:
    """The lines of all fragments: the last word on each symbol, in an order that does not depend on the files."""
    lines = [line for name in kernel.fragments for line in (CONFIG / f"{name}.config").read_text().splitlines()]
    return sorted({line.split("=")[0]: line for line in lines if line.startswith("CONFIG_")}.values())


def _build_series(series: Series, kernels: list[Kernel]) -> None:
    if all(_path(kernel).is_dir() for kernel in kernels):
        return
    work = cache.root() / f".tmp-source-{series.name}"  # ours by the lock
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        tree = _unpack(series, work)
        for kernel in kernels:  # in one object tree for each architecture: a variant builds only what it changes
            cache.entry(_path(kernel).name, partial(_build, kernel, tree, work / f"build-{kernel.arch}"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack(series: Series, work: Path) -> Path:
    """Download and unpack the series' source, and record which it is."""
    suites = apt.Suites(work / "apt", *series.suites)
    name, version = suites.newest(PREFIX, series.least)
    package = suites.download(name, version)
    step(f"unpack {name} {version}", ["sh", "-ec", _UNPACK, "sh", str(package), name], work / "unpack.log", cwd=work)
    package.unlink()
    _record(series).write_text(f"{name} {version}")
    return work / name


_UNPACK = 'dpkg-deb --fsys-tarfile "$1" | tar -xO "./usr/src/$2.tar.xz" | tar -xJ'


def _build(kernel: Kernel, tree: Path, objects: Path, result: Path) -> None:
    log = result / "build.log"
    objects.mkdir(exist_ok=True)
    fragments = [str(CONFIG / f"{name}.config") for name in kernel.fragments]
    make = ["make", f"-j{(os.cpu_count() or 1) + 1}", f"O={objects}", *_MAKE[kernel.arch]]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}  # make calls us
    env |= dict(word.split("=", 1) for word in _MAKE[kernel.arch])
    configure = ["scripts/kconfig/merge_config.sh", "-n", "-O", str(objects), *fragments]
    title = f"kernel {kernel.name} from {_record(kernel.series).read_text()}"
    step(f"{title}: configure", configure, log, env, tree)
    _check(kernel, objects / ".config")
    step(f"{title}: build", ["nice", *make, _IMAGE[kernel.arch], "modules"], log, env, tree)
    install = ["modules_install", f"INSTALL_MOD_PATH={result}/modules", "INSTALL_MOD_STRIP=1"]
    step(f"{title}: install", [*make, *install], log, env, tree)
    shutil.copy(objects / f"arch/{kernel.arch.removesuffix('_64')}/boot/{_IMAGE[kernel.arch]}", result / "vmlinuz")
    shutil.copy(objects / ".config", result / "config")
    (result / "source").write_text(_record(kernel.series).read_text())


def _check(kernel: Kernel, config: Path) -> None:
    """A symbol may be gone from a newer source, or need another one: known now, it is not a machine that boots oddly."""
    got = set(config.read_text().splitlines())
    lost = [line for line in _wanted(kernel) if line not in got and not line.endswith("=n")]
    if lost:
        msg = f"kernel {kernel.name}: these are not in the configuration that its source makes: {' '.join(lost)}"
        raise StepFailed(msg)


def compiler(machine: str) -> str:
    """The host's C compiler for programs of `machine`, as uname calls it."""
    return "gcc" if machine == os.uname().machine else f"{machine}-linux-gnu-gcc"
