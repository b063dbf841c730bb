"""Whether this is a container, where swap belongs to the host. Documents: systemd's CONTAINER_INTERFACE, sd_detect-virt's order;
inode numbers of the first namespaces: include/linux/proc_ns.h (3.8).

Facts that bite: /proc/1/environ may be unreadable even for root, which is not a no; a container may have no sign but its pid namespace;
/.dockerenv may be left over in an image that boots as a virtual machine, which is what AllowInContainer= is for.
"""

from __future__ import annotations

import os

from memd.kernel.root import Root

NAMED = ("run/host/container-manager", "run/systemd/container")  # each holds the manager's name
SIGNS = (("run/.containerenv", "podman"), (".dockerenv", "docker"))
FIRST_PID_NAMESPACE = "pid:[4026531836]"


def detect(root: Root) -> str | None:
    """The container manager's name as systemd-detect-virt says it, `other` for a nameless one; None outside of containers."""
    if root.exists("proc/vz") and not root.exists("proc/bc"):
        return "openvz"
    return _named(root) or _environment(root) or _sign(root) or _namespace(root)


def _named(root: Root) -> str | None:
    for name in NAMED:
        if text := _readable(root, name):
            return text.strip() or None
    return None


def _environment(root: Root) -> str | None:
    """`container=` that the manager gave to pid 1."""
    for variable in (_readable(root, "proc/1/environ") or "").split("\0"):
        if variable.startswith("container="):
            return variable.removeprefix("container=") or "other"
    return None


def _sign(root: Root) -> str | None:
    return next((manager for name, manager in SIGNS if root.exists(name)), None)


def _namespace(root: Root) -> str | None:
    try:
        return None if os.readlink(root.path("proc/self/ns/pid")) == FIRST_PID_NAMESPACE else "other"
    except OSError:
        return None


def _readable(root: Root, name: str) -> str | None:
    try:
        return root.read(name)
    except OSError:
        return None
