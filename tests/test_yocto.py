"""meta-memd: oelint finds nothing, and its text agrees with the tree. Nobody here builds it: OpenEmbedded's tree comes from no registry."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import memd
from memd.policy.kerneloptions import OPTIONS

TREE = Path(__file__).parent.parent
LAYER = TREE / "packaging/yocto/meta-memd"
(RECIPE,) = LAYER.glob("recipes-core/memd/memd_*.bb")


def test_oelint() -> None:
    done = subprocess.run([TREE / "packaging/yocto/check"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_recipe_is_of_this_version() -> None:
    assert RECIPE.name == f"memd_{memd.__version__}.bb"


def test_the_licence_is_the_trees() -> None:
    digest = hashlib.md5((TREE / "LICENSE").read_bytes(), usedforsecurity=False).hexdigest()

    assert f"file://LICENSE;md5={digest}" in RECIPE.read_text()
    assert (LAYER / "COPYING.MIT").read_bytes() == (TREE / "LICENSE").read_bytes()


def test_the_recipe_finds_the_checkout() -> None:
    steps = int(re.search(r"\['\.\.'\] \* (\d)", RECIPE.read_text()).group(1))  # type: ignore[union-attr]

    assert RECIPE.parents[steps] == TREE


def test_everything_that_it_installs_is_there() -> None:
    patterns = re.findall(r"\$\{S\}/(\S+?)(?:\"|\s|;)", RECIPE.read_text())
    optional = {"systemd/*.socket", "systemd/*.timer"}

    assert [pattern for pattern in patterns if pattern not in optional and not list(TREE.glob(pattern))] == []


def test_every_unit_that_starts_by_itself_is_named() -> None:
    named = re.search(r'SYSTEMD_SERVICE:\$\{PN\} = "(.*)"', RECIPE.read_text()).group(1).split()  # type: ignore[union-attr]
    units = [path for pattern in ("*.service", "*.socket", "*.timer") for path in (TREE / "systemd").glob(pattern)]
    enabled = {path.name for path in units if path.name in _enabled_by_the_package()}

    assert set(named) == enabled


def _enabled_by_the_package() -> set[str]:
    """What the Debian package enables: the images are to be no different."""
    rules = (TREE / "packaging/debian/rules").read_text()
    started = re.findall(r"dh_installsystemd (.*)", rules)
    return {word for line in started if "--no-enable" not in line for word in line.split() if not word.startswith("-")}


def test_requirements_are_those_of_the_project() -> None:
    wanted = re.findall(
        r'"([\w-]+)>=', (TREE / "pyproject.toml").read_text().split("[project.optional")[0].split("dependencies")[1]
    )
    renamed = {"systemd-python": "python3-systemd"}

    assert [name for name in wanted if renamed.get(name, f"python3-{name}") not in RECIPE.read_text()] == []


def test_kernel_options_are_those_that_memd_asks_for() -> None:
    fragment = (LAYER / "recipes-kernel/linux/files/memd.cfg").read_text()
    given = set(re.findall(r"^CONFIG_(\w+)=", fragment, re.MULTILINE))
    derived = {"EVENT_TRACING", "CMA_DEBUGFS", "OF"}  # of FTRACE; of a developer's kernel; of the machine

    assert {option.name for option in OPTIONS} - derived <= given


def test_what_changes_other_recipes_waits_for_the_distro_feature() -> None:
    appends = list(LAYER.rglob("*.bbappend"))

    assert len(appends) == 5
    assert all("'DISTRO_FEATURES', 'memd'" in path.read_text() for path in appends)
