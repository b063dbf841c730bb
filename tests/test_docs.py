"""The pages are true where a program can tell."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import memd
from memd import config
from memd.config_keys import Section
from memd.kernel.root import Root

TREE = Path(__file__).parent.parent
PAGES = [TREE / "README.md", *sorted((TREE / "docs").glob("*.md"))]


def test_architecture_names_every_file() -> None:
    page = (TREE / "docs/architecture.md").read_text()
    files = [path.relative_to(TREE / "memd") for path in (TREE / "memd").rglob("*.py") if path.name != "__init__.py"]

    assert [str(path) for path in files if f"`{path}`" not in page] == []


def test_architecture_names_no_file_that_is_gone() -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", (TREE / "docs/architecture.md").read_text()))

    assert {name for name in named if not (TREE / "memd" / name).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_changelog_knows_the_version() -> None:
    assert f"\n## {memd.__version__}" in (TREE / "CHANGELOG.md").read_text()


def test_the_shipped_configuration_names_each_key_of_the_plain_sections() -> None:
    shipped = (TREE / "systemd/memd.conf").read_text()
    keys = [key.name for section in config.SECTIONS if not section.named for key in section.keys(1 << 30)]

    assert [key for key in keys if not re.search(rf"^#{key}=", shipped, re.MULTILINE)] == []


def test_the_reference_is_what_the_table_of_keys_says() -> None:
    done = subprocess.run(
        [sys.executable, "packaging/reference.py", "--check"], cwd=TREE, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("section", config.SECTIONS, ids=lambda section: section.title)
def test_defaults_of_the_reference_are_values(section: Section) -> None:
    for key in section.keys(1 << 30):
        if key.default:
            key.parse(key.default)


def test_the_shipped_configuration_says_the_defaults(tmp_path: Path) -> None:
    lines = (TREE / "systemd/memd.conf").read_text().split("# Who may borrow.")[0]
    said = tmp_path / "memd.conf"
    said.write_text(re.sub(r"^#(\w+=)", r"\1", lines, flags=re.MULTILINE))
    nothing = tmp_path / "empty.conf"
    nothing.write_text("")
    machine = Root("/nowhere")

    spoken, silent = (config.load(machine, 4 << 30, str(file)) for file in (said, nothing))

    assert spoken.findings == ()
    assert (spoken.bounds, spoken.pressure, spoken.any_heaps) == (silent.bounds, silent.pressure, silent.any_heaps)
    assert spoken.zram.algorithms == silent.zram.algorithms


def test_the_d_bus_reference_has_words_for_each_member() -> None:
    rows = [
        line
        for line in (TREE / "docs/dbus.md").read_text().splitlines()
        if re.match(r"\| (method|signal|property) ", line)
    ]

    assert len(rows) > 50
    assert [row for row in rows if not row.split("|")[-2].strip()] == []
