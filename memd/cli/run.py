"""memctl run: a program that opens /dev/dma_heap itself gets its buffers through memd.

This process becomes the program, so that its pid, exit status, signals, terminal and standard input are its own. Before that it splits
off a helper (run_answers.py) that stays outside and answers the one ioctl that stops.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import safe
from memd.errors import InvalidArgs, MemdError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

USER_NAMESPACES = (
    "no mount namespace of its own for the program ({}): memctl run needs user namespaces; see user.max_user_namespaces,"
    " kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, and RestrictNamespaces= of a unit; a chroot"
    " has none"
)
NO_LISTENER = "the program's ioctl cannot be stopped ({}): memctl run needs Linux 5.9 with CONFIG_SECCOMP_FILTER"
NESTED = "something listens to this process's system calls already; memctl run does not work inside itself or a container that does so"
HEAP_KINDS = ("system", "cma", "simulated")


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "run",
        help="run a program unchanged that opens /dev/dma_heap itself, with buffers from memd",
        example="memctl run -- gst-launch-1.0 libcamerasrc ! fakesink\n"
        "         memctl run --heap-map linux,cma=contiguous -- ./old-program\n\n"
        "PROGRAM sees a plain file for each heap that memd lends from; what it allocates there comes through memd, by memd's rules,\n"
        "and needs no right to the heap's node. Exit status: PROGRAM's; 125 memctl failed, 126 PROGRAM could not be run, 127 not found.",
    )
    parser.usage_status = exits.RUN_FAILED  # type: ignore[attr-defined]  # of main.Parser
    parser.usage = "memctl run [--heap-map OLD=NEW]... [--verbose] [--bus ADDRESS] -- PROGRAM..."
    parser.add_argument(
        "--heap-map",
        metavar="OLD=NEW",
        action="append",
        default=[],
        type=_pair,
        help="show /dev/dma_heap/OLD, which is heap NEW of memd's; may be repeated",
    )
    parser.add_argument("--verbose", action="store_true", help="tell each allocation and refusal on standard error")


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (equals and old and new) or "/" in old or old in (".", ".."):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no pair of heap names; write OLD=NEW, as in linux,cma=contiguous"
        )
    return old, new


def run(arguments: argparse.Namespace) -> int:
    if not arguments.words:
        return _failed("no program; write it after --, as in memctl run -- ./program")
    from memd.policy import heapioctl

    try:
        files = heapioctl.files(_heaps(arguments), arguments.heap_map)
        _enter(arguments, files)
    except (MemdError, OSError) as error:
        return _failed(str(error))
    return _become(arguments.words)


def _failed(message: str) -> int:
    print(f"memctl run: {safe(message)}", file=sys.stderr)
    return exits.RUN_FAILED


def _heaps(arguments: argparse.Namespace) -> list[str]:
    """The names that the program will find; InvalidArgs for a NEW that memd does not know."""
    with common.connect(arguments) as memd:
        heaps = [heap for heap in memd.heaps() if heap["kind"] in HEAP_KINDS]
    names = [word for heap in heaps for word in (heap["name"], *heap["aliases"])]
    for old, new in arguments.heap_map:
        if new not in {*names, "system", "contiguous", "any"}:
            raise InvalidArgs(f"--heap-map {old}={new}: memd has no heap {new}; memctl heaps shows those there are")
    return names


def _enter(arguments: argparse.Namespace, files: dict[str, str]) -> None:
    """Everything that is between this process and the program: the helper outside, the files, the filter."""
    import json
    import socket

    from memd.kernel import namespace, seccomp

    link = _helper(arguments)
    try:
        namespace.enter()
        table = namespace.cover(files)
    except OSError as error:
        raise MemdError(USER_NAMESPACES.format(error)) from error
    listener = _listen(seccomp.listen)
    rows = [[device, inode, files[name]] for (device, inode), name in table.items()]
    with link, os.fdopen(listener, closefd=True):
        socket.send_fds(link, [json.dumps(rows).encode()], [listener])
        if not link.recv(1):
            raise MemdError("the helper that should answer the program has ended")


def _listen(listen: Callable[[], int]) -> int:
    try:
        return listen()
    except OSError as error:
        busy = error.errno == 16  # EBUSY
        raise MemdError(NESTED if busy else NO_LISTENER.format(error)) from error


def _helper(arguments: argparse.Namespace) -> socket.socket:
    """Start the helper: nobody's child, so that the program finds no child that it did not start. The caller owns the socket to it."""
    import socket

    from memd.cli import run_answers

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            if os.fork() == 0:
                run_answers.main(theirs, arguments)
        finally:
            os._exit(0)
    theirs.close()
    os.waitpid(child, 0)
    return ours


def _become(words: list[str]) -> int:
    """Returns only if that fails; then the helper ends too, as nobody is left for it."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would hand that on
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(words[0], words)  # noqa: S606 - the caller's own program
    except FileNotFoundError:
        print(f"memctl run: {safe(words[0])} was not found", file=sys.stderr)
        return exits.NOT_FOUND
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        print(f"memctl run: {safe(words[0])} cannot be run ({reason})", file=sys.stderr)
        return exits.CANNOT_RUN
