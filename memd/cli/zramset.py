"""memctl zram set: change a zram device while it is in use, and see how far it is."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from memd.cli import common, exits
from memd.cli.render import safe
from memd.errors import InvalidArgs

if TYPE_CHECKING:
    from memd.client import Memd
    from memd.client.types import JobFacts

STEP = 0.2
EXITS = {"done": exits.FINE, "failed": exits.BAD_NEWS, "cancelled": exits.BAD_NEWS}


def add(actions: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        actions,
        everywhere,
        run,
        "set",
        help="change a device in use: its pages move to a new device where the kernel takes no change",
        example="memctl zram set zram0 Size=4G 'Algorithms=zstd(level=3) lz4'",
    )
    parser.add_argument("device", help="the device, as in zram0")
    parser.add_argument(
        "settings",
        nargs="+",
        metavar="KEY=VALUE",
        help="keys of [Zram] in memd.conf; KEY= alone takes back what was set before",
    )
    parser.add_argument("--force", action="store_true", help="in spite of memory pressure")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the end")


def run(arguments: argparse.Namespace) -> int:
    settings = dict(_pair(word) for word in arguments.settings)
    with common.connect(arguments) as memd:
        path = memd.set_zram(os.path.basename(arguments.device), settings, force=arguments.force)
        job = memd.job(path) if arguments.no_wait else _follow(memd, path)
    if arguments.json:
        common.print_json({"job": path, **job})
    else:
        print(safe(job["message"] or f"{job['state']}: {path}"))
    return EXITS.get(job["state"], exits.FINE)


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise InvalidArgs(f"{word!r} is no KEY=VALUE; write it like Size=4G")
    return key, value


def _follow(memd: Memd, path: str) -> JobFacts:
    """Until it has ended; interrupted, it is cancelled, and its end waited for."""
    while (job := memd.job(path))["state"] == "running":
        try:
            _show(f"{job['progress']:4.0%}  moving the pages of {job['device']}")
            time.sleep(STEP)
        except KeyboardInterrupt:
            memd.cancel_job(path)
    _show("")
    return job


def _show(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{safe(text)}\x1b[K")
        sys.stderr.flush()
