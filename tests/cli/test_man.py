"""The man pages say what the programs do: every command, option, exit status, MESSAGE_ID, and no line that the formatter stumbles over."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import memd
from memd import main, names
from memd.cli.main import build_parser

MAN = Path(__file__).parents[2] / "docs/man"
PAGES = sorted(MAN.iterdir())


def plain(name: str) -> str:
    """Without font requests and escapes."""
    text = re.sub(r"\\f[BIR]", "", (MAN / name).read_text()).replace("\\-", "-")
    return re.sub(r"^\.(B|I|BR|RB|RI|IR|BI) ", "", text, flags=re.MULTILINE)


def parsers(of: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """The commands of memctl, or the actions of one command."""
    actions = (of or build_parser())._actions
    return next((dict(action.choices) for action in actions if isinstance(action, argparse._SubParsersAction)), {})


def everyone() -> list[argparse.ArgumentParser]:
    """memctl, its commands, and their actions."""
    commands = parsers().values()
    return [build_parser(), *commands, *(action for command in commands for action in parsers(command).values())]


def test_memctl_page_has_every_command_and_option() -> None:
    page = plain("memctl.1")
    options = [option for parser in everyone() for option in parser._option_string_actions]

    assert [name for name in parsers() if not re.search(rf"^\.TP\n{name}\b", page, re.MULTILINE)] == []
    assert [option for option in options if option not in page] == []


def test_memctl_page_has_no_option_that_is_not_there() -> None:
    known = {option for parser in everyone() for option in parser._option_string_actions}

    assert set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", plain("memctl.1"))) <= known


HIDDEN = {"--root", "--change-swap", "--settings", "--keys"}  # for tests; for memd's own use


def test_memd_page_has_every_option() -> None:
    options = [option for option in (*main.VALUED, *main.FLAGS) if option not in HIDDEN]

    assert [option for option in options if option not in plain("memd.8")] == []
    assert [option for option in options if option not in main.USAGE and option != "-h"] == []


def test_memd_page_has_every_message_id() -> None:
    ids = {value for name, value in vars(names).items() if name.startswith("MESSAGE_")}

    assert set(re.findall(r"\b[0-9a-f]{32}\b", plain("memd.8"))) == ids


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_version(page: Path) -> None:
    assert f'"memd {memd.__version__}"' in page.read_text().splitlines()[0]


@pytest.mark.skipif(not shutil.which("groff"), reason="groff, which lints man pages, is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lint(page: Path) -> None:
    done = subprocess.run(["groff", "-ww", "-man", "-Tascii", "-z", str(page)], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
