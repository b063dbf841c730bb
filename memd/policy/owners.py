"""Who is charged: the system unit of the caller, else the user whose slice the caller runs in, else the uid.

As sd_pid_get_unit(3) and sd_pid_get_owner_uid(3) read a cgroup's path: slices first, and the first name after them is the unit; what is
below it is the unit's own business, so a delegated cgroup or a user's unit that calls itself `camera.service` is not the system's. Only
the system manager makes slices at the top, so what they say can be believed.
"""

from __future__ import annotations

import string

NAME = frozenset(string.ascii_letters + string.digits + ":-_.\\@")
TYPES = frozenset(
    "automount device mount path scope service slice socket swap target timer".split()  # noqa: SIM905 (reads better)
)
LONGEST_NAME = 255
LARGEST_UID = 0xFFFFFFFE  # the one above is "none"


def of(cgroup: str | None, uid: int) -> tuple[str, str | None]:
    """(who is charged, the system unit). `cgroup`: a path as /proc/PID/cgroup has it; None: not known."""
    names = [unescape(name) for name in (cgroup or "").split("/") if name]
    while names and is_slice(names[0]):
        user = _number(names.pop(0), "user-", ".slice")
        if user is not None:
            return by_uid(user), None
    unit = names[0] if names and is_unit(names[0]) else None
    manager = _number(unit or "", "user@", ".service")
    if manager is not None:
        return by_uid(manager), None
    return unit or by_uid(uid), unit


def by_uid(uid: int) -> str:
    return f"uid:{uid}"


def unescape(name: str) -> str:
    """systemd puts one `_` before a unit's name that the kernel has a use for, such as memory.service; nothing else is escaped."""
    return name.removeprefix("_")


def is_unit(name: str) -> bool:
    """A unit that processes can be in: `camera.service`, `camera@0.service`; no slice and no template."""
    return _is_name(name, at=True) and not name.endswith(".slice")


def is_slice(name: str) -> bool:
    return _is_name(name, at=False) and name.endswith(".slice")


def _is_name(name: str, *, at: bool) -> bool:
    stem, dot, kind = name.rpartition(".")
    prefix, sign, instance = stem.partition("@")
    good = bool(dot and prefix) and kind in TYPES and len(name) <= LONGEST_NAME and NAME.issuperset(stem)
    return good and (not sign or (at and bool(instance)))


def _number(name: str, prefix: str, suffix: str) -> int | None:
    """The uid in `user-1000.slice`, written as systemd does: decimal, no sign, no zero before it."""
    digits = name.removeprefix(prefix).removesuffix(suffix)
    if name != prefix + digits + suffix or not (digits.isascii() and digits.isdigit()):
        return None
    plain = digits == "0" or not digits.startswith("0")
    return int(digits) if plain and len(digits) <= 10 and int(digits) <= LARGEST_UID else None
