"""Maps that memd planned, booted: the kernel's log, its areas and its heaps are what the plans foretold."""

import json
import subprocess
from pathlib import Path

import pytest
from dmabuf import MiB, buffer, cma_free, size_of

PLANS = sorted(Path(__file__).parents[1].glob("plans/plan-*.json"))
pytestmark = pytest.mark.needs("planned")


def wish(plan: object) -> str:
    """The name of a plan's test. (Where a machine has no plans, pytest asks for that of a placeholder.)"""
    return json.loads(plan.read_text())["wish"].replace("--", "") if isinstance(plan, Path) else "none"


def verify(plan: Path) -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(["memctl", "map", "verify", plan, "--json"], stdout=subprocess.PIPE, text=True)
    return done.returncode, json.loads(done.stdout)["outcomes"]


@pytest.mark.parametrize("plan", PLANS, ids=wish)
def test_every_word_of_the_plan_came_true(plan: Path) -> None:
    status, outcomes = verify(plan)

    assert [one for one in outcomes if one["right"] is not True] == []
    assert status == 0


def test_the_plans_were_about_what_they_should_be() -> None:
    """So that nobody verifies four times nothing."""
    changes = [[(c["what"], c["name"]) for c in json.loads(plan.read_text())["changes"]] for plan in PLANS]

    assert changes == [
        [("grown", "camera@84300000"), ("moved", "wpss@88900000")],
        [("added", "npu@d0900000")],
        [("added", "media")],
        [],
    ]


def test_the_log_has_the_planned_lines_letter_for_letter() -> None:
    log = subprocess.run(["dmesg"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in (
        "0x0000000084300000..0x00000000848fffff (6144 KiB) nomap non-reusable camera@84300000",
        "0x0000000088900000..0x000000008a1fffff (25600 KiB) nomap non-reusable wpss@88900000",
        "0x00000000d0900000..0x00000000d0cfffff (4096 KiB) nomap non-reusable npu@d0900000",
        "initialized node media, compatible id shared-dma-pool",
    ):
        assert f"OF: reserved mem: {line}\n" in log
    assert "wpss@84800000" not in log


def test_the_new_heap_lends_from_its_own_area() -> None:
    before = cma_free("media")
    with buffer("media", 8 * MiB) as fd:
        assert size_of(fd) == 8 * MiB
        assert before - cma_free("media") == 8 * MiB


def test_a_plan_that_is_not_this_machines_is_told_apart(tmp_path: Path) -> None:
    told = json.loads(PLANS[0].read_text())
    told["expect"]["regions"][1]["size"] += MiB
    (tmp_path / "plan.json").write_text(json.dumps(told))

    status, outcomes = verify(tmp_path / "plan.json")

    assert status == 1
    assert [one["subject"] for one in outcomes if one["right"] is False] == [told["expect"]["regions"][1]["name"]]


def test_the_running_machine_can_be_planned_on() -> None:
    """From what it is now: its own tree, its RAM, its kernel in the way."""
    done = subprocess.run(
        ["memctl", "map", "plan", "--add", "next", "--size", "2M", "--json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    (change,) = json.loads(done.stdout)["changes"]

    assert change["now"] == {"base": 0xD0D00000, "size": 2 * MiB}
