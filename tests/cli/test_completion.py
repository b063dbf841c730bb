"""The completions know every command and option; bash's is run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.test_man import everyone, parsers

COMPLETION = Path(__file__).parents[2] / "packaging/completion"
COMPLETE = """
memctl() { printf '[\\n  {\\n    "name": "system",\\n'; printf '    "kind": "system"\\n  },\\n  {\\n    "name": "my_cma"\\n  }\\n]\\n'; }
. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _memctl; printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(*words: str) -> set[str]:
    command = ["bash", "-euc", COMPLETE, str(COMPLETION / "memctl.bash"), "memctl", *words]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_commands() -> None:
    assert complete("") == {*parsers(), "--bus", "--json", "--help", "--version"}
    assert complete("st") == {"status"}
    assert complete("--bus", "s") == {"system", "session"}
    assert complete("--bus", "session", "z") == {"zram"}


@pytest.mark.parametrize("name", sorted(parsers()))
def test_options(name: str) -> None:
    known = {option for option in parsers()[name]._option_string_actions if option.startswith("--")}

    assert {word for word in complete(name, "--") if word != "--"} == known


@pytest.mark.parametrize("name", sorted(parsers(parsers()["map"])))
def test_actions_of_map(name: str) -> None:
    known = set(parsers(parsers()["map"])[name]._option_string_actions) - {"-h"}

    assert name in complete("map", name[:3])
    assert {word for word in complete("map", name, "-") if word.startswith("-")} == known


def test_explain() -> None:
    assert "root" in complete("config", "--explain", "ro")
    assert complete("config", "--explain", "root", "my") == {"my_cma"}
    assert complete("config", "c") == {"check"}


def test_zram_set() -> None:
    assert complete("zram", "s") == {"set"}
    assert complete("zram", "set", "zram0", "--fo") == {"--force"}
    assert complete("zram", "set", "zram0", "Si") == {"Size="}


def test_heaps_are_asked_for() -> None:
    assert complete("alloc", "my") == {"my_cma"}
    assert complete("buffers", "--heap", "") == {"system", "my_cma"}
    assert complete("alloc", "system", "1M", "--") >= {"--", "--name"}


@pytest.mark.parametrize("file", ["_memctl", "memctl.fish"])
def test_the_other_shells_know_the_same(file: str) -> None:
    text = (COMPLETION / file).read_text()
    options = {option.lstrip("-") for parser in everyone() for option in parser._option_string_actions}

    assert [word for word in (*parsers(), *options) if word not in text] == []
