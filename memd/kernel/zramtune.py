"""What else a zram device can be told. Documents: Documentation/admin-guide/blockdev/zram.rst, ABI/testing/sysfs-block-zram; mem_limit
since 3.18, backing_dev since 4.14 (CONFIG_ZRAM_WRITEBACK), recomp_algorithm since 6.2 (CONFIG_ZRAM_MULTI_COMP), algorithm_params
since 6.12; compressed_writeback and writeback_batch_size are newer than 6.18.

Facts that bite:
- a kernel without one of them has no file for it, and nothing is created: FileNotFoundError;
- all but mem_limit and writeback_batch_size are EBUSY once there is a disksize; 6.18 accepts algorithm_params there, without effect;
- comp_algorithm forgets the parameters of what it replaces, so parameters come last;
- algorithm_params takes any level: one that the algorithm does not know makes the disksize fail;
- a disksize that fails forgets algorithms and parameters, and keeps the backing device; `reset` forgets that too, but neither
  compressed_writeback nor writeback_batch_size, and the default algorithm comes back;
- mem_limit can only be written: mm_stat shows it. backing_dev is opened for one user alone: EBUSY if anybody has it.
"""

from __future__ import annotations

from memd.kernel.root import Root
from memd.kernel.zram import BLOCK

NONE = "none"


def set_secondary(root: Root, name: str, algorithm: str, priority: int) -> None:
    """`priority` 1 to 3. EINVAL for one that this kernel does not offer."""
    root.write(f"{BLOCK}/{name}/recomp_algorithm", f"algo={algorithm} priority={priority}")


def set_parameters(root: Root, name: str, priority: int, parameters: tuple[str, ...]) -> None:
    """Words like `level=3`, for the algorithm of this priority, 0 being the first. ENOENT also for a dictionary that is not there."""
    root.write(f"{BLOCK}/{name}/algorithm_params", f"priority={priority} {' '.join(parameters)}")


def set_backing(root: Root, name: str, path: str) -> None:
    root.write(f"{BLOCK}/{name}/backing_dev", path)


def set_compressed_writeback(root: Root, name: str, *, compressed: bool) -> None:
    root.write(f"{BLOCK}/{name}/compressed_writeback", "1" if compressed else "0")


def set_batch(root: Root, name: str, pages: int) -> None:
    root.write(f"{BLOCK}/{name}/writeback_batch_size", str(pages))


def set_limit(root: Root, name: str, size: int) -> None:
    """Bytes; 0 is no limit."""
    root.write(f"{BLOCK}/{name}/mem_limit", str(size))


def has(root: Root, name: str, attribute: str) -> bool:
    return root.exists(f"{BLOCK}/{name}/{attribute}")


def backing(root: Root, name: str) -> str | None:
    """The backing device's path; None without one, or where this kernel has none."""
    text = (root.read(f"{BLOCK}/{name}/backing_dev") or NONE).strip()
    return None if text == NONE else text
