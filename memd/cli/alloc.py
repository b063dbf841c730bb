"""memctl alloc: borrow a buffer as the caller, and run a command that has it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import safe
from memd.units import format_size

if TYPE_CHECKING:
    from memd.client import DmaBuf

VARIABLE = "MEMD_FD"


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "alloc",
        help="allocate a buffer, and run a command that has it open",
        example="memctl alloc system 16M --name camera -- ./camera-service\n\n"
        f"COMMAND finds the number of the open file descriptor in {VARIABLE}; the buffer is lent until its last copy\n"
        "and mapping are closed. Exit status: COMMAND's; 126 it could not be run, 127 it was not found; 4 refused.",
    )
    parser.usage = "memctl alloc HEAP SIZE [--name LABEL] [--bus ADDRESS] [--json] [-- COMMAND...]"
    parser.add_argument("heap", metavar="HEAP", help="a heap's name, or system, contiguous, any")
    parser.add_argument("size", metavar="SIZE", type=common.size, help="like 512K, 16M, 1.5G")
    parser.add_argument("--name", metavar="LABEL", default="", help="shown in listings")


def run(arguments: argparse.Namespace) -> int:
    if arguments.words == []:
        print("memctl alloc: no command after --; write one, or leave -- away", file=sys.stderr)
        return exits.USAGE
    with common.connect(arguments) as memd, memd.allocate(arguments.heap, arguments.size, arguments.name) as buffer:
        memd.close()
        if arguments.words is None:
            print(_told(arguments, buffer, None))
            return exits.FINE
        print(_told(arguments, buffer, buffer.fileno()), file=sys.stderr, flush=True)
        return _become(arguments.words, buffer)


def _told(arguments: argparse.Namespace, buffer: DmaBuf, fd: int | None) -> str:
    if arguments.json:
        end = {"released": True} if fd is None else {"fd": fd}
        return common.to_json({"id": buffer.id, "heap": buffer.heap, "size": buffer.size, **end}, line=True)
    what = f"buffer {buffer.id}: {format_size(buffer.size)} from heap {safe(buffer.heap)}"
    return (
        f"{what}, allocated and released (give a command after -- to use it)"
        if fd is None
        else f"memctl: {what}, {VARIABLE}={fd}"
    )


def _become(words: list[str], buffer: DmaBuf) -> int:
    """Becomes COMMAND, so that its exit status, signals and pid are the caller's to see. Returns only if that fails."""
    fd = buffer.fileno()
    os.set_inheritable(fd, True)  # noqa: FBT003 - takes no keyword
    ignored = signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that on
    sys.stdout.flush()
    try:
        os.execvpe(words[0], words, {**os.environ, VARIABLE: str(fd)})  # noqa: S606 - the caller's own command
    except FileNotFoundError:
        print(f"memctl: {safe(words[0])} was not found; the buffer is released", file=sys.stderr)
        return exits.NOT_FOUND
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        print(f"memctl: {safe(words[0])} cannot be run ({reason}); the buffer is released", file=sys.stderr)
        return exits.CANNOT_RUN
    finally:
        signal.signal(signal.SIGPIPE, ignored)
