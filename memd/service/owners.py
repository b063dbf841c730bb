"""Who a caller is: uid and groups, the system unit, and who is charged. All of it may block (NSS may ask the network).

Facts that bite: a subordinate uid (newuidmap) connects under its own number and keeps its owner's groups, so groups count only where NSS
knows the uid, and its user's slice says who is charged. A process that has ended can't be asked, and whoever it was must not become
somebody else by that.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence

from memd.errors import Failed, InvalidArgs
from memd.kernel import cgroup, process
from memd.kernel.root import Root
from memd.model import Caller
from memd.policy import owners

NO_PROCESS = (
    "this bus does not tell processes (no ProcessFD in GetConnectionCredentials; dbus 1.15.8 and dbus-broker 35 on Linux 6.5 do): "
    "Unit= of [Allow] rules matches nobody, and the uid is charged"
)
NO_CGROUP = (
    "callers' cgroups are not to be seen (no unified hierarchy, or /proc with hidepid=): "
    "Unit= of [Allow] rules matches nobody, and the uid is charged"
)
MAX_PID = 1 << 22  # PID_MAX_LIMIT
UNIFIED = ("sys/fs/cgroup/cgroup.controllers", "sys/fs/cgroup/unified/cgroup.controllers")  # the latter beside v1


class Owners:
    """`missing`: why units are not known, in a line. `bus_tells`: whether the bus gives a caller's pidfd."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._hidden = not any(root.exists(name) for name in UNIFIED)
        self.bus_tells = True

    @property
    def missing(self) -> tuple[str, ...]:
        if not self.bus_tells:
            return (NO_PROCESS,)
        return (NO_CGROUP,) if self._hidden else ()

    def caller(self, name: str, uid: int, gids: Sequence[int] | None, pid: int, pidfd: int | None) -> Caller:
        """Blocking; `pidfd` stays the giver's. `gids`: as the bus says, None: NSS is asked. Failed if the process has ended."""
        try:
            path = None if pidfd is None else self._cgroup(pidfd)
        except ProcessLookupError:
            raise Failed(
                f"process {pid}, which made this connection, has ended, so that memd cannot know whom to charge; connect anew"
            ) from None
        owner, unit = owners.of(path, uid)
        return Caller(name, uid, groups(uid, gids), pid, owner, unit)

    def user(self, uid: int) -> Caller:
        """Blocking: somebody with this uid, of whom no more is known. InvalidArgs for a number that is no uid."""
        if not 0 <= uid <= owners.LARGEST_UID:
            raise InvalidArgs(f"{uid} is no uid")
        return Caller("", uid, groups(uid, None), 0, owners.by_uid(uid))

    def process(self, pid: int) -> Caller:
        """Blocking: this process, as it would be known if it called now. InvalidArgs if there is none of that number."""
        if not 0 < pid <= MAX_PID:
            raise InvalidArgs(f"{pid} is no pid")
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise InvalidArgs(f"there is no process {pid} ({error.strerror})") from None
        try:
            found = process.read(self._root, pid)
            if found is None:
                raise InvalidArgs(f"process {pid} is not to be seen, or has ended")
            uid, gids = found
            return self.caller("", uid, sorted(gids), pid, pidfd if self.bus_tells else None)
        finally:
            os.close(pidfd)

    def _cgroup(self, pidfd: int) -> str | None:
        try:
            path = cgroup.read(self._root, pidfd)
        except PermissionError:
            path = None
        self._hidden = self._hidden or path is None
        return path


def groups(uid: int, gids: Sequence[int] | None) -> frozenset[int]:
    """Blocking. `gids`: as the bus says; None: it does not, so NSS is asked. Empty where NSS does not know the uid."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(gids if gids is not None else os.getgrouplist(user.pw_name, user.pw_gid))
