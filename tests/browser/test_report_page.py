"""The report's page in a real browser: drawn, quiet, and nothing wider than the paper."""

from __future__ import annotations

from pathlib import Path

from memd.policy import reportpage
from tests.browser.conftest import Browser, save
from tests.policy.test_reportpage import facts

WIDE = "return [document.documentElement.scrollWidth, innerWidth]"
STEPS = "return [...document.querySelectorAll('.plot rect')].map(step => step.getBoundingClientRect().height)"


def test_it_is_drawn(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(reportpage.page(facts()), encoding="utf-8")
    browser.open(page)
    save(browser.picture(), "report.png")

    content, window = browser.script(WIDE)
    assert content <= window
    none, critical, _ = browser.script(STEPS)
    assert critical > none > 0
    assert browser.log() == []
    assert browser.printed().startswith(b"%PDF")
