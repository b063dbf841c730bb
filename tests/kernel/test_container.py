"""Signs of a container, one at a time; none of them, and unreadable ones."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from memd.kernel import container
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("run/systemd/container", "systemd-nspawn\n", "systemd-nspawn"),
        ("run/host/container-manager", "podman\n", "podman"),
        ("run/.containerenv", "", "podman"),
        (".dockerenv", "", "docker"),
        ("proc/1/environ", b"PATH=/bin\0container=lxc\0TERM=x\0", "lxc"),
        ("proc/1/environ", b"container=\0", "other"),
        ("proc/1/environ", b"\xff\xfe=\xff\0container=lxc", "lxc"),
        ("proc/vz/version", "", "openvz"),
    ],
)
def test_good(root: Root, put: Put, file: str, text: str | bytes, name: str) -> None:
    put(file, text)

    assert container.detect(root) == name


def test_missing(root: Root, put: Put) -> None:
    assert container.detect(root) is None

    put("proc/1/environ", b"PATH=/bin\0notcontainer=lxc\0")
    assert container.detect(root) is None


def test_the_host_of_openvz_is_no_container(root: Root, put: Put) -> None:
    put("proc/vz/version", "")
    put("proc/bc/0/resources", "")

    assert container.detect(root) is None


@pytest.mark.parametrize(("number", "name"), [("4026531836", None), ("4026532211", "other")])
def test_pid_namespace(root: Root, number: str, name: str | None) -> None:
    os.makedirs(root.path("proc/self/ns"))
    os.symlink(f"pid:[{number}]", root.path("proc/self/ns/pid"))

    assert container.detect(root) == name


def test_unreadable_is_not_a_no(root: Root, put: Put) -> None:
    os.makedirs(root.path("proc/1/environ"))  # reading a directory fails for root too
    os.makedirs(root.path("run/systemd/container"))
    put(".dockerenv", "")

    assert container.detect(root) == "docker"


def test_garbage(root: Root, put: Put) -> None:
    put("run/systemd/container", "\n")
    put("proc/1/environ", b"\0\0=\0")

    assert container.detect(root) is None
