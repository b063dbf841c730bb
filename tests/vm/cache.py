"""What is built once and kept outside the checkout: kernels and root file systems, each under a hash of its inputs.

An entry appears whole, by rename, under a lock of its own: two runs at once share it, and a killed build leaves nothing that counts.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def root() -> Path:
    """The directory of all entries: $MEMD_VM_CACHE, else ~/.cache/memd-vm."""
    path = Path(os.environ.get("MEMD_VM_CACHE") or Path.home() / ".cache/memd-vm")
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def digest(*inputs: str) -> str:
    """16 hexadecimal digits that change with any input."""
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:16]


def sweep() -> None:
    """Remove what runs that died have left: a temporary directory whose lock nobody holds."""
    for path in [*root().glob(".tmp-*"), *root().glob("work-*")]:
        with (_locks() / path.name.removeprefix(".tmp-")).open("w") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory of this run alone, gone at its end."""
    name = f"work-{os.getpid()}-{time.time_ns()}"
    with lock(name):
        path = root() / name
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            (_locks() / name).unlink()


def _locks() -> Path:
    path = root() / "locks"
    path.mkdir(exist_ok=True)
    return path


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold NAME alone among all runs; the kernel lets go when a run dies."""
    with (_locks() / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entry(name: str, build: Callable[[Path], None]) -> Path:
    """The directory NAME, filled by `build` in a temporary directory if no earlier run did."""
    final = root() / name
    if final.is_dir():
        return final
    with lock(name):
        if not final.is_dir():
            work = root() / f".tmp-{name}"  # the lock makes it ours: what is there was left by a run that died
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                build(work)
                work.rename(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return final
