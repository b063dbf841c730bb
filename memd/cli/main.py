"""memctl: what memd says and does, in a terminal. A client like any other: it imports neither service/ nor bus/."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from memd import __version__
from memd.cli import (
    alloc,
    buffers,
    cma,
    config,
    doctor,
    exits,
    guard,
    heaps,
    metrics,
    monitor,
    pressure,
    render,
    report,
    run,
    status,
    zram,
)
from memd.cli import map as memory_map

COMMANDS = (
    status,
    heaps,
    buffers,
    alloc,
    run,
    zram,
    cma,
    pressure,
    monitor,
    metrics,
    memory_map,
    config,
    doctor,
    report,
)
RUNNING = ("alloc", "run")  # what follows -- is theirs
EPILOG = """\
Example: memctl status
         memctl alloc system 16M --name camera -- ./camera-service

Exit status: 0 fine, 1 the answer is bad news, 2 usage, 3 memd not reachable, 4 refused.
"""


class Parser(argparse.ArgumentParser):
    """Errors in one line: what is wrong, and where help is."""

    usage_status = exits.USAGE

    def error(self, message: str) -> NoReturn:
        self.exit(self.usage_status, f"{self.prog}: {render.safe(message)}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    everywhere = argparse.ArgumentParser(add_help=False)
    # SUPPRESS: said before the command, it is not taken back by a default after it.
    everywhere.add_argument(
        "--bus",
        metavar="ADDRESS",
        default=argparse.SUPPRESS,
        help="system (default), session, or a D-Bus address such as unix:path=/run/my/bus",
    )
    everywhere.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="JSON: bytes and seconds, stable names"
    )
    parser = Parser(
        prog="memctl",
        description="Show and use memd, the memory daemon: zram, DMA-BUF heaps, pressure.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[everywhere],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"memctl {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True, prog="memctl", parser_class=Parser
    )
    for module in COMMANDS:
        module.add(commands, everywhere)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Exit status as EPILOG says; never a traceback for what can happen on a machine in order."""
    return guard.run(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    words, dashes, rest = _split(argv)
    try:
        parser = build_parser()
        arguments, extra = parser.parse_known_args(words, argparse.Namespace(bus=None, json=False))
        if extra:
            hint = ", a command to run stands after --" if arguments.command in RUNNING and not dashes else ""
            arguments.parser.error(f"unrecognized arguments: {' '.join(extra)}{hint}")
        if dashes and arguments.command not in RUNNING:
            arguments.parser.error(f"{arguments.command} runs no command: leave -- away")
        arguments.words = rest if dashes else None
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    return int(arguments.run(arguments))


def _split(argv: list[str]) -> tuple[list[str], bool, list[str]]:
    """At the first `--`: what follows is the COMMAND of alloc or run, and none of argparse's business."""
    if "--" not in argv:
        return argv, False, []
    at = argv.index("--")
    return argv[:at], True, argv[at + 1 :]
