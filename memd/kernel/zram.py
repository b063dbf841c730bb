"""zram devices in sysfs. Documents: Documentation/admin-guide/blockdev/zram.rst, ABI/testing/sysfs-block-zram; mm_stat since 4.1,
hot_add and hot_remove since 4.2.

Facts that bite:
- reading `hot_add` creates a device: only `add` may read it, never a status path;
- the order is comp_algorithm, disksize; both answer EBUSY on a device that has a disksize, whoever gave it;
- `reset` and `hot_remove` answer EBUSY while anybody has the device open, a udev that looks for signatures included;
- mm_stat has 7 columns, `huge` since 5.1, `huge_since` since 5.16; bytes, but same, compacted and huge count pages;
- writeback and recompress hold the lock that mm_stat's readers need: a reader may wait long.
"""

from __future__ import annotations

import errno
import os
import stat

from memd.early import ZramStat
from memd.errors import BadKernelFile
from memd.kernel.root import Root

BLOCK = "sys/block"
CONTROL = "sys/class/zram-control"
COLUMNS = ("original", "compressed", "mem_used", "mem_limit", "mem_used_max", "same_pages", "compacted", "huge_pages")
ALWAYS = 7  # columns that every kernel has
GONE = (errno.ENOENT, errno.ENODEV)


def is_name(name: str) -> bool:
    """`zram0`, and nothing that leads out of its directory."""
    digits = name.removeprefix("zram")
    return name != digits and digits.isascii() and digits.isdigit()


def has_control(root: Root) -> bool:
    """Whether zram is there at all (4.2 and later), built in or loaded."""
    return root.exists(CONTROL)


def names(root: Root) -> list[str]:
    """Devices in the order of their numbers."""
    return sorted((name for name in root.list(BLOCK) or () if is_name(name)), key=lambda name: int(name[4:]))


def read(root: Root, name: str) -> ZramStat:
    """One device. FileNotFoundError if there is none of that name, BadKernelFile for nonsense."""
    initialised = _text(root, name, "initstate").strip()
    if initialised not in {"0", "1"}:
        raise BadKernelFile(root.path(f"{BLOCK}/{name}/initstate"), initialised)
    path = root.path(f"{BLOCK}/{name}/comp_algorithm")
    algorithm, algorithms = parse_algorithms(_text(root, name, "comp_algorithm"), path)
    return ZramStat(
        name=name,
        disksize=_number(_text(root, name, "disksize"), root.path(f"{BLOCK}/{name}/disksize")),
        initstate=initialised == "1",
        algorithm=algorithm,
        algorithms=algorithms,
        backed=_backed(root, name),
        **parse_mm_stat(_text(root, name, "mm_stat"), root.path(f"{BLOCK}/{name}/mm_stat")),
    )


def _backed(root: Root, name: str) -> int:
    """Bytes on the backing device (5.0); 0 on a kernel without writeback, which has none."""
    path = f"{BLOCK}/{name}/bd_stat"
    words = (root.read(path) or "0").split()
    return _number(words[0] if words else "", root.path(path)) * 4096  # whatever the page's size


def read_all(root: Root) -> tuple[ZramStat, ...]:
    """All devices; one that is removed meanwhile is left out. Empty without zram."""
    found = []
    for name in names(root):
        try:
            found.append(read(root, name))
        except OSError as error:
            if error.errno not in GONE or name in names(root):
                raise
    return tuple(found)


def parse_algorithms(text: str, path: str) -> tuple[str, tuple[str, ...]]:
    """`[lzo-rle] lzo lz4` -> ("lzo-rle", ("lzo-rle", "lzo", "lz4"))."""
    words = text.split()
    chosen = [word[1:-1] for word in words if word.startswith("[") and word.endswith("]")]
    if len(chosen) != 1 or not chosen[0]:
        raise BadKernelFile(path, text)
    return chosen[0], tuple(word.strip("[]") for word in words)


def parse_mm_stat(text: str, path: str) -> dict[str, int]:
    """Columns by the names of ZramStat; those that this kernel does not have are left out."""
    words = text.split()
    if len(words) < ALWAYS:
        raise BadKernelFile(path, text)
    values = dict(zip(COLUMNS, (_number(word, path) for word in words), strict=False))
    del values["compacted"]
    return values


def _text(root: Root, name: str, attribute: str) -> str:
    path = f"{BLOCK}/{name}/{attribute}"
    text = root.read(path) if is_name(name) else None
    if text is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root.path(path))
    return text


def _number(text: str, path: str) -> int:
    word = text.strip()
    if not (word.isascii() and word.isdigit()):
        raise BadKernelFile(path, text)
    return int(word)


def add(root: Root) -> str:
    """Makes a new device and gives its name. FileNotFoundError on a kernel that cannot (before 4.2, or without zram)."""
    number = root.integer(f"{CONTROL}/hot_add")
    if number is None:
        raise FileNotFoundError(errno.ENOENT, "this kernel cannot add a zram device", root.path(f"{CONTROL}/hot_add"))
    return f"zram{number}"


def remove(root: Root, name: str) -> None:
    """EBUSY while it is open. It resets the device too, whoever gave it its size: only for devices of one's own."""
    root.write(f"{CONTROL}/hot_remove", name[4:])


def set_algorithm(root: Root, name: str, algorithm: str) -> None:
    """EINVAL for one that this kernel does not offer, EBUSY once the device has a disksize."""
    root.write(f"{BLOCK}/{name}/comp_algorithm", algorithm)


def set_disksize(root: Root, name: str, size: int) -> None:
    """Bytes. Takes 0.39 % of it in RAM at once. EBUSY if the device has one already, ENOMEM if there is no room for the table."""
    root.write(f"{BLOCK}/{name}/disksize", str(size))


def reset(root: Root, name: str) -> None:
    """Throws away what the device holds; EBUSY while it is open or swap. The algorithm is the kernel's default again."""
    root.write(f"{BLOCK}/{name}/reset", "1")


def node(root: Root, name: str) -> str:
    """The device node for swapon. In a mount namespace of our own it is pid 1's node: the kernel shows the path that swapon was
    given as pid 1 sees it, and a private /dev would make it `/zram0` for the whole system. FileNotFoundError if there is none."""
    number = root.read(f"{BLOCK}/{name}/dev")
    paths = ([f"proc/1/root/dev/{name}"] if _own_mounts(root) else []) + [f"dev/{name}"]
    for path in map(root.path, paths):
        if _names_device(root, path, (number or "").strip()):
            return path
    raise FileNotFoundError(errno.ENOENT, f"no device node for {name}", root.path(paths[-1]))


def _own_mounts(root: Root) -> bool:
    try:
        return os.readlink(root.path("proc/self/ns/mnt")) != os.readlink(root.path("proc/1/ns/mnt"))
    except OSError:  # not ours to see: then pid 1's root is not ours to enter either
        return False


def _names_device(root: Root, path: str, number: str) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    if not root.is_machine:
        return stat.S_ISREG(found.st_mode)  # a recorded machine has plain files for devices
    return stat.S_ISBLK(found.st_mode) and f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" == number
