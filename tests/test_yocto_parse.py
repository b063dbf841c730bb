"""meta-memd as bitbake's own parser reads it: layer, recipes, appends. OpenEmbedded's classes are there by name alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import memd

TREE = Path(__file__).parent.parent
LAYER = TREE / "packaging/yocto/meta-memd"
KERNELS = ("linux-yocto", "linux-qcom", "linux-qcom-next")
Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def found() -> Found:
    """Recipe, or recipe and distro feature -> its variables."""
    done = subprocess.run([TREE / "packaging/yocto/parse"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def test_every_file_is_read(found: Found) -> None:
    read = {Path(path) for recipe in found.values() for path in recipe["BBINCLUDED"].split()}

    assert {path for path in LAYER.rglob("*") if path.suffix in (".bb", ".bbappend", ".conf")} <= read


def test_the_recipe(found: Found) -> None:
    recipe = found["memd"]

    assert (recipe["PN"], recipe["PV"]) == ("memd", memd.__version__)
    assert Path(recipe["EXTERNALSRC"]) == TREE
    assert {"python3-dbus-next", "python3-systemd"} <= set(recipe["RDEPENDS:memd"].split())
    assert found["packagegroup-memd"]["RDEPENDS:packagegroup-memd"] == "memd"


def test_nothing_is_left_unexpanded(found: Found) -> None:
    texts = {f"{name}: {key}": value for name, recipe in found.items() for key, value in recipe.items()}

    assert [key for key, value in texts.items() if "${" in str(value)] == []


def test_what_installs_it_is_shell_that_bitbake_understands(found: Found) -> None:
    assert found["memd"]["runs"] == ["[", "install"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_gets_the_fragment_where_the_distro_wants_memd(found: Found, kernel: str) -> None:
    with_memd = found[f"{kernel} memd"]
    (directory,) = with_memd["FILESEXTRAPATHS"].strip(":").split(":")

    assert found[kernel]["SRC_URI"] == "git://kernel"
    assert with_memd["SRC_URI"] == "git://kernel file://memd.cfg"
    assert (Path(directory) / "memd.cfg").is_file()


def test_the_images_own_zram_stays_off(found: Found) -> None:
    assert found["zram"]["SYSTEMD_AUTO_ENABLE"] == "enable"
    assert found["zram memd"]["SYSTEMD_AUTO_ENABLE"] == "disable"


def test_the_rule_that_opens_heaps_goes(found: Found) -> None:
    assert "if false" in found["libdmabufheap"]["do_install"]
    assert "if true" in found["libdmabufheap memd"]["do_install"]
