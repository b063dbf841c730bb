"""memctl report: everything that memctl can tell of this machine as one page, for a bug report or a review.

Each part is looked at by itself: what cannot be told (no memd, no journal, no device tree) is a line on the page, and the rest is there.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memd.cli import common, exits
from memd.errors import BadKernelFile, Failed, MemdError

if TYPE_CHECKING:
    from memd.policy.reportpage import Facts

SPAN = 24 * 3600.0
EVENTS = 200


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "report",
        help="write one page for a bug report: status, findings, map, events, plots",
        example="memctl report --html report.html\n\n"
        "The page is one file and fetches nothing. It names programs, units and users: look at it before you send it.",
    )
    parser.add_argument("--html", metavar="FILE", required=True, help="write the page to FILE")
    parser.add_argument(
        "--since", metavar="TIME", type=common.seconds, default=SPAN, help="events and plots of this time (24h)"
    )


def run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from memd.policy import reportpage

    facts = gather(arguments)
    try:
        Path(arguments.html).write_text(reportpage.page(facts), encoding="utf-8")
    except OSError as error:
        raise Failed(f"{arguments.html} cannot be written ({error.strerror}); name another file with --html") from None
    if arguments.json:
        common.print_json({"file": arguments.html, "not_looked_at": list(facts.why)})
    else:
        print(f"written: {arguments.html}" + "".join(f"\nnot looked at: {line}" for line in facts.why))
    return exits.FINE


def gather(arguments: argparse.Namespace) -> Facts:
    """All parts; what one raises is told instead of it."""
    from memd.policy.reportpage import Facts

    end = time.time()
    begin = end - arguments.since
    why: list[str] = []
    status, buffers = _try("memd", lambda: _memd(arguments), why) or (None, [])
    found = {
        "ailments": _try("doctor", lambda: _ailments(arguments), why) or [],
        "history": _try("the history of pressure", lambda: _history(begin), why),
        "map": _try("the memory map", _map, why),
        "events": _try("the journal", lambda: _events(begin), why) or [],
    }
    title = str((status or {}).get("board") or _host())
    written = f"memd report of {_when(end)}"
    return Facts(title, written, begin, end, status, buffers, why=tuple(why), **found)


def _try(what: str, read: Callable[[], Any], why: list[str]) -> Any:
    try:
        return read()
    except (MemdError, OSError, BadKernelFile, ImportError) as error:
        why.append(f"{what}: {error}")
        return None


def _memd(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from memd.cli.doctor_looks import PATIENCE
    from memd.client import Memd

    with Memd(arguments.bus, PATIENCE) as memd:
        return dict(memd.status()), [dict(row) for row in memd.buffers()]


def _ailments(arguments: argparse.Namespace) -> list[Any]:
    from memd.cli import doctor_looks
    from memd.policy import checkup

    return checkup.ordered(doctor_looks.look(arguments.bus))


def _history(begin: float) -> list[tuple[float, str]]:
    from memd.cli import history

    return [(change.time, change.level) for change in history.read(begin)]


def _map() -> str:
    from memd.cli import mapsource
    from memd.policy import maprules, mapscene, mapsvg

    found = mapsource.running()
    return mapsvg.svg(mapscene.of_map(found, maprules.check(found)))


def _events(begin: float) -> list[tuple[str, str]]:
    """memd's own entries, as the journal's own fields say they are."""
    from memd.cli.history import UNIT
    from systemd import journal

    with journal.Reader() as entries:
        for match in (f"_SYSTEMD_UNIT={UNIT}", "_UID=0"):
            entries.add_match(match)
        entries.seek_realtime(begin)
        rows = [(entry.get("__REALTIME_TIMESTAMP"), str(entry.get("MESSAGE", ""))) for entry in entries]
    return [(f"{when:%Y-%m-%d %H:%M:%S}", words) for when, words in rows[-EVENTS:] if when]


def _when(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _host() -> str:
    import platform

    return platform.node() or "this machine"
