"""A zram device of a test's own, beside the one that is swap, with pages that can be checked; and files that are block devices."""

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from people import output

PAGE = os.sysconf("SC_PAGE_SIZE")


def patiently(action: Callable[[], object]) -> None:
    """udev looks at what is new."""
    for _ in range(100):
        try:
            action()
        except OSError:
            time.sleep(0.1)
        else:
            return
    action()


@contextlib.contextmanager
def loop(folder: Path, size: int) -> Iterator[str]:
    """A block device that is a file in `folder`."""
    file = folder / f"disk-{size}"
    with file.open("wb") as disk:
        disk.truncate(size)
    device = output("losetup", "--find", "--show", file).strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device])
        file.unlink()


class Disk:
    """`name`: zramN. Pages are told apart by their number, and compress to about a half."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = Path("/sys/block") / name

    def set(self, attribute: str, text: str) -> None:
        (self.directory / attribute).write_text(text)

    def get(self, attribute: str) -> str:
        return (self.directory / attribute).read_text().strip()

    def store(self, pages: int) -> None:
        with open(f"/dev/{self.name}", "r+b", buffering=0) as disk:
            for number in range(pages):
                disk.write(page(number))
            os.fsync(disk.fileno())
        Path("/proc/sys/vm/drop_caches").write_text("1")  # what is read next comes from zram

    def check(self, pages: int) -> None:
        Path("/proc/sys/vm/drop_caches").write_text("1")
        with open(f"/dev/{self.name}", "rb", buffering=0) as disk:
            wrong = [number for number in range(pages) if disk.read(PAGE) != page(number)]
        assert wrong == []


def page(number: int) -> bytes:
    half = random.Random(number).randbytes(PAGE // 2)
    return (half + b"secret" * PAGE)[:PAGE]


@contextlib.contextmanager
def disk(size: int, backing: str | None = None, algorithm: str = "lzo", second: str | None = None) -> Iterator[Disk]:
    made = Disk(f"zram{Path('/sys/class/zram-control/hot_add').read_text().strip()}")
    try:
        made.set("comp_algorithm", algorithm)
        if second:
            made.set("recomp_algorithm", f"algo={second} priority=1")
        if backing:
            patiently(lambda: made.set("backing_dev", backing))
        made.set("disksize", str(size))
        yield made
    finally:
        patiently(lambda: Path("/sys/class/zram-control/hot_remove").write_text(made.name[4:]))
