"""Moving in, whole machines: tests/roots/import-NAME in, its `expect/memd.conf` out, twice the same. A machine for each case
that zram-generator proves itself on is among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from memd import config
from memd.cli import configimport
from memd.kernel.root import Root
from memd.policy import zramimport

ROOTS = Path(__file__).parent.parent / "roots"
CASES = sorted(ROOTS.glob("import-*"))


def page(machine: Path) -> str:
    """As `memctl config import` prints it there; the files are named as that machine does."""
    return zramimport.render(configimport.of_machine(Root(str(machine)))).replace(str(machine), "")


@pytest.mark.parametrize("machine", CASES, ids=lambda path: path.name)
def test_a_machine(machine: Path) -> None:
    expected = (machine / "expect/memd.conf").read_text()

    assert page(machine) == expected
    assert page(machine) == expected
    assert config.load(Root("/nowhere"), 4 << 30, str(machine / "expect/memd.conf")).findings == ()


def test_there_are_machines() -> None:
    assert len(CASES) == 15
