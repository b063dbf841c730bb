"""The report's page: every part is there, hostile words do no harm, and whatever is missing leaves the rest."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from memd.policy import reportpage
from memd.policy.checkup import Ailment
from memd.policy.reportpage import Facts
from tests.cli import machines

WRONG = Ailment("kernel-psi", "error", "CONFIG_PSI is not set", "late", "build the kernel with CONFIG_PSI=y")
HISTORY = [(100.0, "critical"), (200.0, "none")]


def facts(**more: object) -> Facts:
    whole = {
        "status": machines.BOARD, "buffers": machines.BUFFERS, "ailments": (WRONG,), "history": HISTORY, "map": '<svg class="map"></svg>',
        "events": [("2026-01-01 00:00:00", "pressure is critical")], "why": ("the journal: no right to read it",),
    }  # fmt: skip
    return Facts("Board <1>", "now", 0.0, 1000.0, **(whole | more))  # type: ignore[arg-type]


def whole(page: str) -> ET.Element:
    """It is well-formed, and asks for nothing from outside."""
    assert not re.search(r"(src|href)=", page)
    return ET.fromstring(re.sub(r"<!DOCTYPE html>|<meta[^>]*>", "", page))


def test_every_part_is_on_it() -> None:
    page = reportpage.page(facts())
    heads = [head.text for head in whole(page).iter("h2")]

    assert heads == [
        "Not looked at", "What is wrong", "Memory", "Compressed swap", "Heaps", "CMA areas", "Done without", "Lent buffers",
        "Memory pressure", "Events",
    ]  # fmt: skip
    assert "Board &lt;1&gt;" in page
    assert "build the kernel with CONFIG_PSI=y" in page
    assert '<svg class="map">' in page


def test_a_machine_of_which_nothing_is_known() -> None:
    page = reportpage.page(Facts("x", "now", 0.0, 1.0))

    assert [head.text for head in whole(page).iter("h2")] == ["What is wrong"]
    assert "Nothing." in page


def test_the_plot_has_a_step_for_each_level() -> None:
    (plot,) = (one for one in whole(reportpage.page(facts())).iter("svg") if one.get("class") == "plot")
    steps = [(step[0].text, float(step.get("x", "")), float(step.get("width", ""))) for step in plot]

    assert steps == [("none", 0, 120), ("critical", 120, 120), ("none", 240, 960)]


def test_a_long_list_is_cut_and_says_so() -> None:
    rows = [{"id": number} for number in range(1000)]

    assert "800 more" in reportpage.page(facts(buffers=rows))


@given(st.text(), st.text())
def test_hostile_words_are_words(one: str, two: str) -> None:
    script = "<script>alert(1)</script>"
    page = reportpage.page(facts(buffers=[{"name": script + one, two: two}], events=[(one, script + two)], why=(one,)))

    assert "<script" not in page
    whole(page)
