"""The quick way gives what the long way gives, and takes nothing that it does not fully understand."""

from __future__ import annotations

import subprocess
import sys

import pytest

from memd.cli import entry
from memd.cli.main import build_parser


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "status --json",
        "--json status",
        "--bus session status",
        "status --bus unix:path=/x --json",
        "--json --json status",
    ],
)
def test_plain(words: str) -> None:
    asked = entry.plain_status(words.split())
    arguments = build_parser().parse_args(words.split())

    assert asked
    assert (asked.bus, asked.json) == (getattr(arguments, "bus", None), getattr(arguments, "json", False))


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--json",
        "status status",
        "status x",
        "status --help",
        "status --bus",
        "status --bus --json",
        "--bus=x status",
        "heaps",
        "status --",
        "--version",
    ],
)
def test_anything_else(words: str) -> None:
    assert entry.plain_status(words.split()) is None


def test_what_the_quick_way_leaves_out() -> None:
    """And it says what is wrong as the long way does."""
    script = (
        "import sys; from memd.cli.entry import main; code = main(['status', '--bus', 'unix:path=/nowhere']);"
        "print(code, *set(sys.modules) & {'argparse', 'asyncio', 'json', 'dataclasses', 'shutil', 'xml', 'ssl', 'memd.cli.heaps'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "3\n"
    assert done.stderr.startswith("memctl: there is no bus at unix:path=/nowhere")
