"""What every command needs: the daemon, JSON, the look of the terminal, and its own parser."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from memd import units
from memd.cli import render
from memd.errors import MemdError

if TYPE_CHECKING:
    import argparse

    from memd.client import Memd

    Commands = argparse._SubParsersAction[Any]


def command(
    commands: Commands,
    everywhere: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    name: str,
    *,
    help: str,  # noqa: A002 - argparse's word
    example: str,
) -> argparse.ArgumentParser:
    """A parser of one command; `help` is one line, `example` what a person would type."""
    import argparse

    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=f"Example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[everywhere],
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def connect(arguments: argparse.Namespace) -> Memd:
    from memd.client import Memd

    return Memd(arguments.bus)


def look() -> render.Look:
    return render.look(sys.stdout)


def print_json(value: object, *, line: bool = False) -> None:
    """Indented, or as one `line` of a stream."""
    print(to_json(value, line=line))


def to_json(value: object, *, line: bool = False) -> str:
    import json

    return json.dumps(value, indent=None if line else 2)  # ASCII: safe in every terminal and locale


def size(text: str) -> int:
    with _usage():
        return units.parse_size(text)


def seconds(text: str) -> float:
    with _usage():
        return units.parse_seconds(text)


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    """argparse tells the argument's name before the words."""
    import argparse

    try:
        yield
    except MemdError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
