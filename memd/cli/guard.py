"""What stands around every command: streams in order, and an exit status instead of a traceback for what can happen anywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from memd.cli import exits, render
from memd.errors import MemdError


def run(command: Callable[[], int]) -> int:
    """Its exit status, or that of how it ended."""
    _streams()
    try:
        code = _told(command)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush complains
        return exits.PIPE_CLOSED
    return code


def _told(command: Callable[[], int]) -> int:
    try:
        return command()
    except MemdError as error:
        print(f"memctl: {render.safe(str(error))}", file=sys.stderr)
        return exits.of(error)


def _streams() -> None:
    """A closed stdout is no error, but its number must not go to the next socket. No locale lacks a character."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)  # noqa: FBT003 - takes no keyword
    os.close(fd)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as memctl runs
        if hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
