"""A mount namespace of one's own in which plain files stand where heaps' nodes are.

ABI: unshare(2), user_namespaces(7), mount(2), tmpfs(5). Unprivileged user namespaces: 3.8; where a distribution limits them:
user.max_user_namespaces, kernel.unprivileged_userns_clone (Debian), kernel.apparmor_restrict_unprivileged_userns (Ubuntu).
Facts that bite:
- uid and gid maps of one line (oneself to oneself) need no helper, but setgroups must be denied first. Other groups keep their effect.
- A set-uid program gains nothing in such a namespace: root is not mapped into it.
- What is mounted over stays reachable by an fd that was opened before.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

HEAPS = "/dev/dma_heap"
NEWNS, NEWUSER = 0x00020000, 0x10000000
NOSUID, NOEXEC, BIND, REC, SLAVE = 2, 8, 4096, 16384, 1 << 19


def enter() -> None:
    """Into a mount namespace, by way of a user namespace where this process may not make one. OSError if it may not do that either."""
    try:
        _call("unshare", NEWNS)
    except PermissionError:
        uid, gid = os.geteuid(), os.getegid()
        _call("unshare", NEWNS | NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            _write(f"/proc/self/{name}", text)
    _mount("none", "/", None, REC | SLAVE)


def cover(names: Iterable[str]) -> dict[tuple[int, int], str]:
    """Plain files of these names under /dev/dma_heap and nothing else there: (st_dev, st_ino) -> name. Only after `enter`."""
    if not os.path.isdir(HEAPS):
        _rebuild_dev()
        os.mkdir(HEAPS)
    _mount("memctl-run", HEAPS, "tmpfs", NOSUID | NOEXEC, "mode=0755,size=64k,nr_inodes=1k")
    found = {}
    for name in names:
        fd = os.open(os.path.join(HEAPS, name), os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o666)
        status = os.fstat(fd)
        found[status.st_dev, status.st_ino] = name
        os.close(fd)
    return found


def _rebuild_dev() -> None:
    """/dev anew, with all that is in it: for a machine without heaps, where the directory is missing and cannot be made."""
    old = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    inside = f"/proc/self/fd/{old}"
    entries = [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in os.scandir("/dev")]
    _mount("memctl-run", "/dev", "tmpfs", NOSUID | NOEXEC, "mode=0755")
    for name, mode in entries:
        _bring(f"{inside}/{name}", f"/dev/{name}", mode)
    os.close(old)


def _bring(source: str, target: str, mode: int) -> None:
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
        return
    if stat.S_ISDIR(mode):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC))
    _mount(source, target, None, BIND | REC)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [word.encode("utf-8", "surrogateescape") if word else None for word in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), data.encode() if data else None, path=target)


def _call(name: str, *arguments: object, path: str | None = None) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", path)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
