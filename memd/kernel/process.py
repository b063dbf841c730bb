"""Whose a process is. Document: Documentation/filesystems/proc.rst, "/proc/PID/status".

Facts that bite: `Uid:` and `Gid:` are real, effective, saved and file system's, in this order, and a socket's peer is known by the
effective ones; `Groups:` does not hold the effective gid; ids that have no number in this user namespace are 65534.
"""

from __future__ import annotations

from memd.errors import BadKernelFile
from memd.kernel.root import Root


def read(root: Root, pid: int) -> tuple[int, frozenset[int]] | None:
    """(uid, gids), as a socket's peer has them. None if there is no such process."""
    name = f"proc/{pid}/status"
    try:
        text = root.read(name)
    except ProcessLookupError:  # it went between open and read
        return None
    return None if text is None else parse(text, root.path(name))


def parse(text: str, path: str = "status") -> tuple[int, frozenset[int]]:
    """BadKernelFile if a line is missing or holds no numbers."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    words = [fields.get(key, "").split() for key in ("Uid", "Gid", "Groups")]
    if [len(numbers) for numbers in words[:2]] != [4, 4] or not all(word.isdigit() for one in words for word in one):
        raise BadKernelFile(path, text)
    uids, gids, groups = ([int(word) for word in one] for one in words)
    return uids[1], frozenset((gids[1], *groups))
