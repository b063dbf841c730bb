"""memctl metrics: memd for Prometheus, on standard output, in a file for node-exporter, or over HTTP. A client of memd like any other."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING

from memd.cli import common, exits

if TYPE_CHECKING:
    from memd.client.types import Status

LISTEN = re.compile(r"^(?P<host>[0-9.]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})$")


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "metrics",
        help="print metrics for Prometheus (OpenMetrics), write them for node-exporter, or serve them",
        example="memctl metrics --textfile /var/lib/prometheus/node-exporter/memd.prom",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--textfile", metavar="FILE", help="write this file at once and whole, in the text that node-exporter reads"
    )
    where.add_argument(
        "--listen", metavar="ADDRESS:PORT", type=_address, help="serve http://ADDRESS:PORT/metrics until interrupted"
    )
    where.add_argument(
        "--socket",
        action="store_true",
        help="serve on the socket that systemd hands over; ends after a minute without work",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.listen or arguments.socket:
        from memd.cli import metrics_http

        metrics_http.serve(arguments.listen, lambda: read(arguments))
        return exits.FINE
    status = read(arguments)
    if arguments.textfile:
        write(arguments.textfile, classic(status))
    elif arguments.json:
        common.print_json(status)
    else:
        sys.stdout.write(openmetrics(status).decode())
    return exits.FINE if status is not None else exits.UNREACHABLE


def read(arguments: argparse.Namespace) -> Status | None:
    """None where memd does not answer: that is a metric too."""
    from memd.client.errors import Unreachable

    try:
        with common.connect(arguments) as memd:
            return memd.status()
    except Unreachable as error:
        print(f"memctl: {error}", file=sys.stderr)
        return None


def openmetrics(status: Status | None) -> bytes:
    from memd.cli import openmetrics as text

    made = text.registry(status)
    from prometheus_client.openmetrics import exposition

    return bytes(exposition.generate_latest(made))  # type: ignore[no-untyped-call]


def classic(status: Status | None) -> bytes:
    """The text format of Prometheus 0.0.4, which node-exporter reads from files."""
    from memd.cli import openmetrics as text

    made = text.registry(status)
    from prometheus_client import exposition

    return bytes(exposition.generate_latest(made))


def write(path: str, data: bytes) -> None:
    """A reader sees the old file or the new one, whole. OSError is told as it is."""
    temporary = f"{path}.{os.getpid()}.tmp"  # node-exporter reads *.prom only
    try:
        with open(temporary, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        from memd.errors import Failed

        raise Failed(f"{path} can't be written: {error.strerror}") from error


def _address(text: str) -> tuple[str, int]:
    found = LISTEN.match(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address to listen on; write it like 127.0.0.1:9853 or [::1]:9853"
        )
    return found["host"].strip("[]"), int(found["port"])
