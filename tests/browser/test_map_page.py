"""The map's page in a real browser: read, hovered, printed, in the dark, and made small."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memd.kernel import devicetree
from memd.model_map import MIB, MemoryMap, Range, Region, RegionKind
from memd.policy import maphtml, mapplan, mapread, maprules, mapscene, mapsvg, mapwrite
from memd.policy.mapask import Action, Ask
from memd.policy.mapscene import Picture
from tests import trees
from tests.browser.conftest import Browser, save

GIB = 1 << 30
RAM = (Range(0x80000000, 2 * GIB),)
BOXES = """return [...document.querySelectorAll('svg text')].map(text => {
const box = text.getBoundingClientRect(); return [text.textContent, box.left, box.top, box.right, box.bottom]})"""
# Height on the line and size, of each region
BLOCKS = """return [...document.querySelectorAll('svg .row:not(.gap)')].map(row => [
row.querySelector('.name').textContent, row.querySelector('.block').getBBox().height])"""
COLOURS = """const paper = getComputedStyle(document.querySelector('svg .paper')).fill;
return [...document.querySelectorAll('svg text')].map(text => [text.textContent, getComputedStyle(text).fill, paper])"""


def vendor() -> tuple[Any, MemoryMap]:
    tree = devicetree.parse(trees.vendor(), "vendor.dts")
    return tree, replace(mapread.read(tree), ram=RAM, ram_known=True)


def one() -> Picture:
    _, shape = vendor()
    return mapscene.of_map(shape, maprules.check(shape))


def two() -> Picture:
    """Before and after."""
    tree, shape = vendor()
    drawn = mapplan.plan(mapplan.Board(tree, shape), Ask(Action.GROW, "camera", 6 * MIB, may_move=("wpss",)))
    findings = maprules.check(drawn.after, drawn.before, mapplan.accepted(drawn.changes))
    return mapscene.of_change(drawn.before, drawn.after, drawn.changes, findings, mapwrite.summary(drawn))


def hostile() -> Picture:
    """Long names, overlaps, far banks, and a name that would like to be a script."""
    names = ["a-name-of-thirty-one-letters-xx", "</title><script>document.title='owned'</script>", "two", "three"]
    regions = tuple(
        Region(
            f"{name}@{base:x}", f"/reserved-memory/{name}", base, size, RegionKind.CARVE_OUT, no_map=True, has_reg=True
        )
        for name, base, size in zip(
            names, (0x80000000, 0x80100000, 0x80180000, 0x84000000), (2 * MIB,) * 4, strict=True
        )
    )
    shape = MemoryMap(
        "a.dtb", board="A & B <board>", ram=(*RAM, Range(0x880000000, GIB)), ram_known=True, regions=regions
    )
    return mapscene.of_map(shape, maprules.check(shape))


@pytest.fixture(params=[one, two, hostile], ids=["one", "two", "hostile"])
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Picture:
    """An open page of each picture."""
    picture: Picture = request.param()
    file = tmp_path / "map.html"
    file.write_text(maphtml.page(picture))
    browser.open(file)
    save(browser.picture(), f"{request.node.callspec.id}.png")
    return picture


@pytest.mark.usefixtures("page")
def test_nothing_is_complained_about_and_nothing_fetched(browser: Browser) -> None:
    assert browser.log() == []
    assert browser.script("return performance.getEntriesByType('resource').map(entry => entry.name)") == []
    assert browser.script("return document.title").endswith(": memory map")


@pytest.mark.usefixtures("page")
def test_no_text_lies_on_another_or_outside(browser: Browser) -> None:
    boxes = browser.script(BOXES)
    frame = browser.script(
        "const box = document.querySelector('svg').getBoundingClientRect(); return [box.left, box.right]"
    )

    assert len(boxes) > 20
    for index, (text, left, top, right, bottom) in enumerate(boxes):
        assert frame[0] <= left, text
        assert right <= frame[1], text
        for other, left2, top2, right2, bottom2 in boxes[index + 1 :]:
            across, down = min(right, right2) - max(left, left2), min(bottom, bottom2) - max(top, top2)
            assert across < 1 or down < 4, f"{text!r} and {other!r}"


@pytest.mark.usefixtures("page")
def test_no_text_leaves_its_card(browser: Browser) -> None:
    left = browser.script(
        """return [...document.querySelectorAll('svg .row:not(.gap)')].flatMap(row => {
        const card = row.querySelector('.card').getBoundingClientRect();
        return [...row.querySelectorAll('text')].filter(text => { const box = text.getBoundingClientRect();
        return box.left < card.left || box.right > card.right || box.top < card.top || box.bottom > card.bottom })
        .map(text => text.textContent)})"""
    )

    assert left == []


def test_regions_are_to_scale(page: Picture, browser: Browser) -> None:
    wide = {row.name: row for row in page.scenes[0].rows if row.path}
    blocks = {name: height for name, height in browser.script(BLOCKS)[: len(wide)] if name in wide}
    scale = [height / row.where.size for name, height in blocks.items() if (row := wide[name]).where and height > 4]

    assert len(blocks) >= 3
    assert all(height >= mapsvg.THIN - 0.1 for height in blocks.values()), "the smallest can still be seen"
    assert not scale or max(scale) / min(scale) < 1.05


def test_hovering_says_everything(page: Picture, browser: Browser) -> None:
    row = next(row for row in page.scenes[-1].rows if row.path)
    name = row.name if len(row.name) < 30 else row.name[:20]
    x, y = browser.script(
        f"const card = [...document.querySelectorAll('.row')].filter(row => row.getAttribute('aria-label').startsWith({name!r}))"
        ".at(-1).querySelector('.card').getBoundingClientRect(); return [card.left + 40, card.top + 10]"
    )
    assert browser.script("return document.querySelector('#hint').className") == ""

    browser.hover(x, y)

    hint = browser.script("return document.querySelector('#hint').textContent")
    assert browser.script("return document.querySelector('#hint').className") == "on"
    assert str(row.where) in hint
    assert row.size in hint
    for finding in row.findings:
        assert finding in hint
    browser.hover(1, 1)
    assert browser.script("return document.querySelector('#hint').className") == ""


@pytest.mark.usefixtures("page")
def test_the_keyboard_gets_there_too(browser: Browser) -> None:
    browser.script("document.querySelector('.row:not(.gap)').focus()")

    assert browser.script("return document.querySelector('#hint').className") == "on"


def test_it_prints(page: Picture, browser: Browser) -> None:
    pdf = browser.printed()

    assert pdf.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 2 + len(page.findings)
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert browser.script("return getComputedStyle(document.querySelector('#hint')).display") == "none"
    assert browser.script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.usefixtures("page")
def test_every_text_can_be_read_in_light_and_dark(
    request: pytest.FixtureRequest, browser: Browser, scheme: str
) -> None:
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    save(browser.picture(), f"{request.node.callspec.id}.png")

    for text, ink, paper in browser.script(COLOURS):
        assert contrast(ink, paper) >= 4.5, f"{text!r}: {ink} on {paper}"


def contrast(ink: str, paper: str) -> float:
    """WCAG 2.2's contrast ratio."""
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def luminance(colour: str) -> float:
    red, green, blue = (_linear(int(part) / 255) for part in re.findall(r"\d+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_small_window_has_no_sideways_scroll_of_its_own(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text(maphtml.page(two()))

    browser.open(tmp_path / "map.html", width=500, height=800)

    assert browser.script("return document.documentElement.scrollWidth <= innerWidth")


def test_the_image_alone_is_an_image(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "map.svg").write_text(mapsvg.svg(two()))

    browser.open(tmp_path / "map.svg")

    assert browser.script("return document.documentElement.tagName") == "svg"
    assert browser.script("return document.querySelectorAll('.row title').length") > 20
    assert browser.log() == []
    save(browser.picture(), "image.png")
