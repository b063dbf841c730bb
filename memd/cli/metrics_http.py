"""Metrics over HTTP, for one scraper at a time: GET /metrics. On systemd's socket it ends when nobody has asked for a while.

Each request is one GetStatus; nothing is kept between two. A scraper that does not finish its request is cut off after TIMEOUT.
"""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from memd.errors import Failed

if TYPE_CHECKING:
    from memd.client.types import Status

TIMEOUT = 5.0
IDLE = 60.0
FIRST_FD = 3  # sd_listen_fds(3)


class Handler(http.server.BaseHTTPRequestHandler):
    server_version = "memctl"
    sys_version = ""
    timeout = TIMEOUT
    read: Callable[[], Status | None]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "only /metrics is here")
            return
        from prometheus_client.exposition import choose_encoder

        from memd.cli import openmetrics

        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        body = encode(openmetrics.registry(type(self).read()))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A scrape is no event."""


class Server(http.server.HTTPServer):
    """On a socket that is there already; `asked`: when somebody came last."""

    def __init__(self, sock: socket.socket, read: Callable[[], Status | None]) -> None:
        handler = type("Handler", (Handler,), {"read": staticmethod(read)})
        # Not TCPServer's: it makes a socket first, which the sandbox of memd-metrics.service does not allow.
        socketserver.BaseServer.__init__(self, sock.getsockname(), handler)
        self.socket, self.asked = sock, time.monotonic()

    def get_request(self) -> tuple[socket.socket, object]:
        self.asked = time.monotonic()
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """A scraper that went away in the middle."""


def serve(address: tuple[str, int] | None, read: Callable[[], Status | None]) -> None:
    """Until interrupted; on systemd's socket (`address` None) until IDLE. Failed where there is no socket, or no library."""
    from memd.cli import openmetrics

    openmetrics.registry(None)  # say now that the library is missing, not in the first scrape
    with Server(_listening(address) if address else _handed_over(), read) as server:
        server.timeout = None if address else IDLE
        while address or time.monotonic() - server.asked < IDLE:
            server.handle_request()


def _listening(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        raise Failed(f"{address[0]} port {address[1]} can't be listened on: {error.strerror}") from error


def _handed_over() -> socket.socket:
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise Failed("--socket is for memd-metrics.service, which systemd starts with a socket; use --listen")
    return socket.socket(fileno=FIRST_FD)
