"""Device nodes and who may open them: mode, group, and whether an ACL says more (acl(5)).

Facts that bite: the ACL of a node is its attribute system.posix_acl_access, and ENODATA where it has none.
"""

from __future__ import annotations

import errno
import grp
import os
import stat

from memd.kernel.root import Root

ACL = "system.posix_acl_access"


def look(root: Root, name: str) -> tuple[int, str, bool] | None:
    """(permission bits, group by name or number, has an ACL); None if it is not there or no character device."""
    try:
        status = os.stat(root.path(name))
    except FileNotFoundError:
        return None
    if not stat.S_ISCHR(status.st_mode):
        return None
    return stat.S_IMODE(status.st_mode), _group(status.st_gid), _has_acl(root.path(name))


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _has_acl(path: str) -> bool:
    try:
        return bool(os.getxattr(path, ACL))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise
