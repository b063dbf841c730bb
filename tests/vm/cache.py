"""What is built once and kept outside the checkout: kernels and root file systems, each under a hash of its inputs.

An entry appears whole, by rename, under a lock of its own: two runs at once share it, and a killed build leaves nothing that counts.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
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


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold NAME alone among all runs; the kernel lets go when a run dies."""
    directory = root() / "locks"
    directory.mkdir(exist_ok=True)
    with (directory / name).open("w") as file:
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
