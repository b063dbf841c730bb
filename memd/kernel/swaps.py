"""/proc/swaps. Source: mm/swapfile.c, swap_show(); document: proc(5).

Facts that bite: sizes are KiB and leave the header page out; blank, tab, newline and backslash in a path are octal (`\\040`); a path
that was deleted has ` (deleted)` behind it; a device that was switched on from another mount namespace shows without its
directory (`/zram0`), so devices are told by their base name. Without CONFIG_SWAP there is no such file.
"""

from __future__ import annotations

from memd.early import Swap
from memd.errors import BadKernelFile
from memd.kernel.root import Root

NAME = "proc/swaps"
DELETED = " (deleted)"


def parse(text: str, path: str = NAME) -> tuple[Swap, ...]:
    """Bytes; paths unescaped and without ` (deleted)`. BadKernelFile for a line that is none of swap_show's."""
    lines = text.splitlines()
    if not lines or not lines[0].startswith("Filename"):
        raise BadKernelFile(path, text)
    return tuple(_line(line, path) for line in lines[1:])


def _line(line: str, path: str) -> Swap:
    words = line.split()
    if len(words) != 5:
        raise BadKernelFile(path, line)
    name, kind, size, used, priority = words
    if not (size.isdigit() and used.isdigit() and priority.removeprefix("-").isdigit() and line.isascii()):
        raise BadKernelFile(path, line)
    return Swap(
        path=unescape(name).removesuffix(DELETED),
        kind=kind,
        size=int(size) * 1024,
        used=int(used) * 1024,
        priority=int(priority),
    )


def unescape(text: str) -> str:
    """`a\\040b` -> `a b`; a backslash without three octal digits stays."""
    first, *rest = text.split("\\")
    return first + "".join(map(_character, rest))


def _character(part: str) -> str:
    digits = part[:3]
    if len(digits) == 3 and digits[0] in "0123" and digits.strip("01234567") == "":
        return chr(int(digits, 8)) + part[3:]
    return "\\" + part


def read(root: Root) -> tuple[Swap, ...] | None:
    """What is swap now; None on a kernel without swap."""
    text = root.read(NAME)
    return None if text is None else parse(text, root.path(NAME))
