"""Each example of README, docs, man pages and --help is a command line that memctl takes, or configuration that memd takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from memd import config
from memd.cli import main
from memd.kernel.root import Root
from tests.cli.test_man import everyone, parsers

TREE = Path(__file__).parent.parent
PAGES = [TREE / "README.md", *sorted((TREE / "docs").glob("*.md"))]
MAN = sorted((TREE / "docs/man").glob("*.[1-8]"))
COMMAND = re.compile(r"^(?:[$#] |ExecStart=/usr/bin/|sudo |Example: )?(memctl (?!- ).*)$")
BLOCK = re.compile(r"^```\w*\n([\s\S]*?)^```$|((?:^(?: {4}.*)?\n)+)", re.MULTILINE)
INLINE = re.compile(r"`memctl ([a-z][^`]*)`")
SECTION = re.compile(
    rf"^ *\[({'|'.join(section.title.strip('[]').split()[0] for section in config.SECTIONS)})\b.*\]$", re.MULTILINE
)


def blocks(page: Path) -> list[str]:
    return [fenced or indented for fenced, indented in BLOCK.findall(page.read_text())]


def commands(page: str, text: str) -> Iterator[tuple[str, str]]:
    yield from ((page, found[1]) for found in (COMMAND.match(line.strip()) for line in text.splitlines()) if found)


def examples() -> Iterator[tuple[str, str]]:
    """(page, command line)"""
    for page in PAGES:
        yield from commands(page.name, "\n".join(blocks(page)))
    for page in MAN:
        yield from commands(page.name, page.read_text().replace("\\-", "-"))
    for name, parser in parsers().items():
        yield from commands(f"memctl {name} --help", parser.epilog or "")


FOUND = sorted(set(examples()))
CONFIGURATION = [(page.name, block) for page in PAGES for block in blocks(page) if SECTION.search(block)]


def test_examples_are_found() -> None:
    assert {page for page, _ in FOUND} >= {"README.md", "map.md", "memctl.1", "memctl run --help"}
    assert len(CONFIGURATION) > 5


@pytest.mark.parametrize(("page", "line"), FOUND)
def test_memctl_takes_the_line(page: str, line: str) -> None:
    here, dashes, program = main._split(shlex.split(re.split(r" [|>] ", line)[0], comments=True)[1:])
    arguments, extra = main.build_parser().parse_known_args(here)

    assert extra == []
    assert arguments.command in main.RUNNING or not dashes
    assert bool(program) == dashes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_sentence_names_is_there(page: Path) -> None:
    options = {option for parser in everyone() for option in parser._option_string_actions}
    for words in INLINE.findall(page.read_text()):
        command, *rest = words.split()
        assert command in parsers(), words
        assert {word.partition("=")[0] for word in rest if re.match(r"--\w", word)} <= options, words


@pytest.mark.parametrize(("page", "block"), CONFIGURATION)
def test_memd_takes_the_configuration(page: str, block: str, tmp_path: Path) -> None:
    (file := tmp_path / "memd.conf").write_text("\n".join(line.strip() for line in block.splitlines()))

    findings = config.load(Root("/nowhere"), 4 << 30, str(file)).findings

    assert [one for one in findings if "name not found" not in one.message] == []  # users of the reader's machine
