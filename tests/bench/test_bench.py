"""The benchmark's own parts: what is called a regression, the plot, and the C that it builds. What is measured is no test's business."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.bench import page, plot, start, tools
from tests.bench.__main__ import table, worse
from tests.bench.page import REACH
from tests.bench.tools import Ratio

LESS, MORE = "bus, a refusal / granted", "lane, 16 in flight, calls a second / C service"


def test_ratios_are_taken_round_by_round() -> None:
    assert tools.ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Ratio(2.0, 2.0, 2.0)
    assert tools.ratio([1.0], [4.0]) == Ratio(0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("name", "now", "regressed"),
    [
        (LESS, Ratio(1.0, 0.9, 1.1), False),
        (LESS, Ratio(1.5, 1.4, 1.6), True),
        (LESS, Ratio(1.5, 1.0, 2.5), False),  # noise
        (LESS, Ratio(0.5, 0.4, 0.6), False),
        (MORE, Ratio(0.5, 0.4, 0.6), True),
        (MORE, Ratio(1.5, 1.4, 1.6), False),
    ],
)
def test_a_regression_is_beyond_the_noise(name: str, now: Ratio, regressed: bool) -> None:
    before = Ratio(1.0, 0.9, 1.1)
    assert name in REACH
    assert worse(name, now, before) is regressed
    assert ("WORSE" in table({name: now}, {name: before})[1]) is regressed


def test_a_plot_has_every_point() -> None:
    root = ET.fromstring(plot.svg("cost", "buffers", "µs", {1: 50.0, 100: 55.0, 10_000: 61.0}))
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == 3


def test_the_page_says_what_was_measured() -> None:
    found = {
        "date": "D",
        "machine": "M",
        "load": [0.5],
        "rounds": 3,
        "figures": {LESS: [0.5, 0.4, 0.6], MORE: [1, 1, 1]},
    }
    rows = page.host(found)
    assert f"| {LESS} | at most 1 | 0.5 (0.4 to 0.6) | reached |" in rows
    assert f"| {MORE} | at least 2 | 1 | **not** |" in rows
    text = (page.DOCS / "bench.md").read_text()
    assert page.page(text) == text, "run make docs"


def test_rooms() -> None:
    names = {
        "memd.bus.wire": "bus",
        "memd.config_zram": "config",
        "memd.main": "early",
        "asyncio.events": "asyncio",
        "json": start.ROOMS[-1],
    }
    assert {name: start._room(name) for name in names} == names


def test_what_it_builds(tmp_path: Path) -> None:
    tools.build(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"floor", "client"}
