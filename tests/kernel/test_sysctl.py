"""memd.kernel.sysctl: values good, missing and garbage; and who has said what."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.errors import BadKernelFile
from memd.kernel import sysctl
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
KEYS = ("vm/swappiness", "vm/page-cluster", "vm/watermark_boost_factor")


def test_good(root: Root, put: Put) -> None:
    put("proc/sys/vm/swappiness", "60\n")

    assert sysctl.read(root, "vm/swappiness") == 60
    sysctl.write(root, "vm/swappiness", 180)
    assert sysctl.read(root, "vm/swappiness") == 180


def test_missing(root: Root) -> None:
    assert sysctl.read(root, "vm/swappiness") is None
    assert sysctl.spoken(root, KEYS) == {}
    with pytest.raises(FileNotFoundError):
        sysctl.write(root, "vm/swappiness", 1)


def test_garbage(root: Root, put: Put) -> None:
    put("proc/sys/vm/swappiness", "many\n")
    put("etc/sysctl.d/10-x.conf", b"\xff\x00\nvm.swappiness\n=3\n[Section]\n- = \n")

    with pytest.raises(BadKernelFile):
        sysctl.read(root, "vm/swappiness")
    assert sysctl.spoken(root, KEYS) == {}


@pytest.mark.parametrize(
    "line",
    [
        "vm.swappiness=10",
        " vm/swappiness = 10 ",
        "-vm.swappiness = 10",
        "- vm.swappiness=10",
        "vm.swap*=10",
        "*/swappiness=1",
    ],
)
@pytest.mark.parametrize(
    "file", ["etc/sysctl.d/a.conf", "usr/lib/sysctl.d/a.conf", "run/sysctl.d/a.conf", "etc/sysctl.conf"]
)
def test_the_administrator_has_spoken(root: Root, put: Put, line: str, file: str) -> None:
    put(file, f"# a comment\n\n{line}\n")

    assert sysctl.spoken(root, KEYS) == {"vm/swappiness": root.path(file)}


@pytest.mark.parametrize(
    "line", ["#vm.swappiness=10", ";vm.swappiness=10", "vm.swappiness", "-vm.swappiness", "kernel.swappiness=1"]
)
def test_nothing_was_said(root: Root, put: Put, line: str) -> None:
    put("etc/sysctl.d/a.conf", f"{line}\n")

    assert sysctl.spoken(root, KEYS) == {}


def test_a_file_hides_another_of_its_name_and_null_masks_it(root: Root, put: Put, tmp_path: Path) -> None:
    put("usr/lib/sysctl.d/a.conf", "vm.swappiness=1\n")
    put("usr/lib/sysctl.d/b.conf", "vm.page-cluster=1\n")
    put("etc/sysctl.d/a.conf", "\n")
    os.symlink("/dev/null", tmp_path / "etc/sysctl.d/b.conf")
    put("etc/sysctl.d/readme", "vm.swappiness=1\n")

    assert sysctl.spoken(root, KEYS) == {}


def test_the_kernel_command_line(root: Root, put: Put) -> None:
    put("proc/cmdline", "quiet sysctl.vm.swappiness=5 sysctl.vm/page-cluster=1 sysctl.vm.x\n")

    assert sysctl.spoken(root, KEYS) == dict.fromkeys(("vm/swappiness", "vm/page-cluster"), "the kernel command line")


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("vm.swappiness", "vm/swappiness"),
        ("vm/swappiness", "vm/swappiness"),
        ("net.ipv4.conf.eth0/1.x", "net/ipv4/conf/eth0.1/x"),
        ("net/a.b/c", "net/a.b/c"),
        ("x", "x"),
    ],
)
def test_both_ways_to_write_a_name(name: str, normal: str) -> None:
    assert sysctl.normal(name) == normal
