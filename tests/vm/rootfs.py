"""Debian root file systems: a cached tarball for each suite and architecture, and a fresh image of it for each run."""

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import apt
import cache
from say import StepFailed, step

HERE = Path(__file__).parent

# what memd's package depends on, what a machine needs to be one, and what the tests use
PACKAGES = (HERE / "config/root-packages").read_text().split()
# what does parts of memd's work elsewhere: it is measured beside them
PEERS = tuple((HERE / "config/peer-packages").read_text().split())
# a program of others that allocates from a heap: libcamera's GStreamer element
CAMERA = tuple((HERE / "config/camera-packages").read_text().split())

_AS_ROOT = [] if os.geteuid() == 0 else ["--map-root-user", "--map-auto"]
_APART = ["unshare", *_AS_ROOT, "--mount", "--pid", "--fork", "--kill-child"]

# qemu-user's own choice signs and checks pointers, as Debian 13's programs ask, in software: perl and python take four times as long.
_FOREIGN = {"QEMU_CPU": "cortex-a72"}


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A user space: a suite of Debian for one of its architectures. `more`: packages on top of the plain one, which stays as it is."""

    suite: str
    arch: str
    more: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As the cache and the messages call it."""
        return f"{self.suite}-{self.arch}{'-more' if self.more else ''}"


TRIXIE_AMD64 = Rootfs("trixie", "amd64")
TRIXIE_PEERS = Rootfs("trixie", "amd64", PEERS)
TRIXIE_CAMERA = Rootfs("trixie", "amd64", CAMERA)
TRIXIE_ARM64 = Rootfs("trixie", "arm64")
BOOKWORM_AMD64 = Rootfs("bookworm", "amd64")


def ready(rootfs: Rootfs) -> Path:
    """The tarball of this root file system; built on the first call."""
    name = f"rootfs-{rootfs.name}-{cache.digest(rootfs.suite, rootfs.arch, *PACKAGES, *rootfs.more)}"
    return cache.entry(name, partial(_add if rootfs.more else _bootstrap, rootfs)) / "root.tar"


def can_run(arch: str) -> None:
    """Make the host run programs of `arch` (by qemu-user where they are foreign), or StepFailed with what is missing."""
    if _runs(arch):
        return
    if os.geteuid() == 0:  # a container's image has the interpreter's registration, but the file system is not mounted
        mount = ["mount", "-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc"]
        for command in (mount, ["update-binfmts", "--enable"]):
            subprocess.run(command, stderr=subprocess.DEVNULL)
    if not _runs(arch):
        msg = f"this machine does not run {arch} programs: as root, mount binfmt_misc and update-binfmts --enable"
        raise StepFailed(msg)


def _foreign(arch: str) -> dict[str, str]:
    """What qemu-user is told; a host that runs `arch` by itself does not look at it."""
    return _FOREIGN if arch == "arm64" else {}


def _runs(arch: str) -> bool:
    return subprocess.run(["arch-test", arch], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _bootstrap(rootfs: Rootfs, result: Path) -> None:
    can_run(rootfs.arch)
    sources = result / "sources.list"
    sources.write_text(apt.source_list(rootfs.suite))
    command = ["mmdebstrap", "--variant=minbase", f"--architectures={rootfs.arch}", "--aptopt=Acquire::Languages none"]
    command += [f"--include={','.join(PACKAGES)}", rootfs.suite, str(result / "root.tar"), str(sources)]
    env = {**os.environ, **_foreign(rootfs.arch), "TMPDIR": str(result)}
    step(f"root file system {rootfs.name}", ["nice", *command], result / "build.log", env)


def _add(rootfs: Rootfs, result: Path) -> None:
    plain = ready(replace(rootfs, more=()))
    command = [
        "nice",
        *_APART,
        str(HERE / "add-packages.sh"),
        str(plain),
        str(result / "tree"),
        str(result / "root.tar"),
    ]
    step(f"root file system {rootfs.name}", [*command, *rootfs.more], result / "build.log")


def image(rootfs: Rootfs, overlays: Iterable[Path], package: Path | None, work: Path) -> Path:
    """A bootable ext4 image in `work`: the root file system, the overlays' files on it, memd's package installed by apt."""
    result = work / f"{rootfs.name}.img"
    command = [*_APART, str(HERE / "assemble.sh")]
    command += [str(ready(rootfs)), str(work / rootfs.name), str(result), str(package or ""), *map(str, overlays)]
    can_run(rootfs.arch)
    step(f"image {rootfs.name}", command, work / f"{rootfs.name}.log", {**os.environ, **_foreign(rootfs.arch)})
    return result
