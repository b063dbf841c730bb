"""What a custom heap needs, compiled: the module against a stub of the kernel's headers, the device node by dtc."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from memd.kernel import devicetree
from memd.model_map import RegionKind
from memd.policy import mapdts, mapheap, mapplan, mapread, mapwrite
from memd.policy.mapask import Action, Ask
from tests import trees
from tests.policy.test_mapdts import overlaid, planned

STUB = Path(__file__).parent.parent / "maps" / "stub"
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-nostdinc", "-fsyntax-only"]


@pytest.mark.parametrize("name", ["my_cma", "linux,cma", "9-lives.heap+x"])
def test_the_module_compiles_against_a_stub_of_the_headers(tmp_path: Path, name: str) -> None:
    files = mapheap.files(name)
    source = next(file for file in files if file.endswith(".c"))
    (tmp_path / source).write_text(files[source])
    assert shutil.which("gcc")

    done = subprocess.run(["gcc", *FLAGS, "-I", STUB, tmp_path / source], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"obj-m := {source.removesuffix('.c')}.o" in files["Kbuild"]


def test_a_wrong_call_would_not_compile(tmp_path: Path) -> None:
    """The stub has teeth."""
    source = tmp_path / "a.c"
    source.write_text(
        mapheap.files("my_cma")["my_cma_heap.c"].replace("cma_heap_add(dev->cma_area, NULL)", "cma_heap_add(dev)")
    )

    done = subprocess.run(["gcc", *FLAGS, "-I", STUB, source], capture_output=True, text=True, check=False)

    assert done.returncode != 0


def test_the_overlay_has_region_device_and_their_bond(tmp_path: Path) -> None:
    flat = trees.compiled(trees.board(""))
    drawn = planned(flat, Ask(Action.ADD, "my_cma", 20 << 20, RegionKind.CMA, heap=True))
    files = mapwrite.files(drawn, "plan", mapwrite.QCOM)

    result = mapread.read(overlaid(tmp_path, flat, files["plan.dtso"]))

    assert [(region.name, region.users) for region in result.regions] == [("my_cma", ("/my_cma-heap",))]
    assert sorted(files) == ["plan-heap/Kbuild", "plan-heap/my_cma_heap.c", "plan.dtso"]
    assert 'compatible = "memd,my_cma-heap"' in files["plan.dtso"]
    assert '.compatible = "memd,my_cma-heap"' in files["plan-heap/my_cma_heap.c"]


def test_a_kernel_that_makes_heaps_itself_needs_the_region_alone() -> None:
    drawn = planned(trees.compiled(trees.board("")), Ask(Action.ADD, "my_cma", 20 << 20, RegionKind.CMA, heap=True))

    assert list(mapwrite.files(drawn, "plan", mapwrite.MAINLINE)) == ["plan.dtso"]


def test_the_steps_say_what_was_compiled_against_what() -> None:
    drawn = planned(trees.compiled(trees.board("")), Ask(Action.ADD, "my_cma", 20 << 20, RegionKind.CMA, heap=True))
    files = mapwrite.files(drawn, "plan", mapwrite.QCOM)

    steps = mapwrite.steps(drawn, files, "plan.json")

    assert [step for step in steps if "compiled against a stub of the headers only" in step]
    assert steps[-1].endswith("memctl map verify plan.json")


def test_moves_are_a_patch_where_the_source_is_at_hand() -> None:
    source = trees.board("a@84000000 { reg = <0 0x84000000 0 0x400000>; no-map; };")
    drawn = planned(trees.compiled(source), Ask(Action.MOVE, "a", at=0x90000000))

    assert list(mapwrite.files(drawn, "plan", mapwrite.QCOM, ("board.dts", source))) == ["plan.patch"]
    assert list(mapwrite.files(drawn, "plan", mapwrite.QCOM)) == ["plan.dtsi"]
    assert mapplan.accepted(drawn.changes) == {"/reserved-memory/a@84000000": "/reserved-memory/a@90000000"}
    assert mapdts.overlay(drawn) is None
    assert devicetree.parse(trees.compiled(source), "").children[0].name == "a@84000000"
