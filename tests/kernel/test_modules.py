"""modprobe, played by /bin/sh: its words and its status come through; nothing is run for a machine in a directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from memd.errors import Failed, NotSupported
from memd.kernel import modules
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]
FOLDER = "kernel/drivers/block/zram"


@pytest.fixture
def modprobe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The real machine, with a modprobe of this script."""

    def write(script: str) -> None:
        path = tmp_path / "modprobe"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setattr(modules, "_program", lambda _root: str(path))

    return write


def test_good(modprobe: Callable[[str], None], tmp_path: Path) -> None:
    modprobe(f'echo "$1" >{tmp_path}/asked; test -z "$MEMD_SECRET"')

    modules.load(Root(), "zram")

    assert (tmp_path / "asked").read_text() == "zram\n"


def test_a_failure_has_modprobes_words(modprobe: Callable[[str], None]) -> None:
    modprobe('echo "modprobe: FATAL: Module $1 not found" >&2; exit 1')

    with pytest.raises(Failed, match="modprobe zram: modprobe: FATAL: Module zram not found"):
        modules.load(Root(), "zram")


def test_a_silent_failure_has_its_status(modprobe: Callable[[str], None]) -> None:
    modprobe("exit 3")

    with pytest.raises(Failed, match="status 3"):
        modules.load(Root(), "zram")


def test_one_that_hangs_is_killed(modprobe: Callable[[str], None]) -> None:
    modprobe("exec sleep 1000")

    with pytest.raises(Failed, match="status 137"):
        modules.load(Root(), "zram", deadline=0.05)


def test_one_that_says_more_than_a_pipe_holds(modprobe: Callable[[str], None]) -> None:
    modprobe("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1")

    with pytest.raises(Failed, match="xxxxxxxx"):
        modules.load(Root(), "zram")


def test_a_kernel_without_modules(root: Root) -> None:
    with pytest.raises(NotSupported, match="loads no modules"):
        modules.load(root, "zram")


def test_nothing_is_run_for_a_machine_in_a_directory(root: Root, put: Put) -> None:
    put("proc/sys/kernel/modprobe", "/bin/false\n")

    with pytest.raises(NotSupported, match="machine in a directory"):
        modules.load(root, "zram")


@pytest.mark.parametrize("file", ["zram.ko", "zram.ko.xz", "zram.ko.zst"])
def test_installed(root: Root, put: Put, file: str) -> None:
    put("proc/sys/kernel/osrelease", "6.1.0\n")
    put(f"lib/modules/6.1.0/{FOLDER}/{file}", "")

    assert modules.is_installed(root, "zram", FOLDER)


def test_not_installed(root: Root, put: Put) -> None:
    put("proc/sys/kernel/osrelease", "6.1.0\n")
    assert not modules.is_installed(root, "zram", FOLDER)

    put(f"lib/modules/6.12.0/{FOLDER}/zram.ko", "")
    os.makedirs(root.path(f"lib/modules/6.1.0/{FOLDER}"))
    assert not modules.is_installed(root, "zram", FOLDER)
