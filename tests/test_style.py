"""The linters are tests: what they say of the tree must be nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "--quiet", "."], ["ruff", "format", "--check", "--quiet", "."], ["mypy", "--no-error-summary"]],
    ids=["ruff", "ruff-format", "mypy"],
)
def test_linter(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=TREE, capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
