"""docs/events.md against names.py, the catalog, and the fields that memd writes."""

from __future__ import annotations

import re
from pathlib import Path

from memd import names

TREE = Path(__file__).parent.parent
PAGE = (TREE / "docs/events.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| `([0-9a-f]{32})` \| ([^|]*) \| ([^|]*)\|$", PAGE, re.MULTILINE)
IDENTIFIERS = {value: name for name, value in vars(names).items() if name.startswith("MESSAGE_")}


def test_each_event_has_one_row() -> None:
    told = [identifier for _, identifier, _, _ in ROWS]

    assert sorted(told) == sorted(set(told))
    assert {IDENTIFIERS.get(identifier, identifier) for identifier in told} == set(IDENTIFIERS.values())


def test_each_row_says_what_and_how_grave() -> None:
    assert [identifier for what, identifier, priority, _ in ROWS if not (what.strip() and priority.strip())] == []


def test_each_event_is_explained() -> None:
    catalog = (TREE / "systemd/memd.catalog").read_text()

    assert [identifier for _, identifier, _, _ in ROWS if f"-- {identifier}\n" not in catalog] == []


def test_fields_are_fields_that_memd_writes() -> None:
    source = "".join(path.read_text() for path in (TREE / "memd").rglob("*.py"))
    told = {field for *_, fields in ROWS for field in re.findall(r"MEMD_(\w+)", fields)}

    assert {field for field in told if f'"MEMD_{field}"' not in source and f'"{field.lower()}"' not in source} == set()


def test_the_man_page_lists_them_too() -> None:
    page = (TREE / "docs/man/memd.8").read_text()

    assert [name for identifier, name in IDENTIFIERS.items() if identifier not in page] == []
