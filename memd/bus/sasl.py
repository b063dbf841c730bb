"""From an address to an authenticated socket: SASL EXTERNAL with fds negotiated. The library speaks the lines, memd owns the socket."""

from __future__ import annotations

import asyncio
import socket

from memd.bus.library import Library

TIMEOUT = 25.0
MAX_LINE = 4096


async def open_socket(address: str, library: Library) -> socket.socket:
    """A connected and authenticated socket, on which fds may be sent. ConnectionError that says which address and why."""
    problem: Exception | str = "no unix: transport in it"
    try:
        addresses = library.addresses(address)
    except ValueError as error:
        raise ConnectionError(str(error)) from error
    for transport, options in addresses:
        name = options.get("path") or ("\0" + options["abstract"] if "abstract" in options else "")
        if transport != "unix" or not name:
            continue
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.get_running_loop().sock_connect(sock, name)
                await _authenticate(sock, library)
        except Exception as error:  # OSError, TimeoutError or the library's AuthError: try the next address
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise ConnectionError(f"cannot connect to the bus at {address}: {problem or type(problem).__name__}")


async def _authenticate(sock: socket.socket, library: Library) -> None:
    loop = asyncio.get_running_loop()
    authenticator = library.authenticator()
    await loop.sock_sendall(sock, b"\0")
    line = authenticator._authentication_start(True)  # noqa: FBT003 (negotiate_unix_fd has two spellings)
    while True:
        await loop.sock_sendall(sock, f"{line}\r\n".encode())
        if line == "BEGIN":
            return
        line = authenticator._receive_line(await _auth_line(sock))


async def _auth_line(sock: socket.socket) -> str:
    """The bus speaks only when spoken to before Hello, so that nothing can stand behind the end of the line."""
    line = b""
    while not line.endswith(b"\r\n"):
        chunk = await asyncio.get_running_loop().sock_recv(sock, MAX_LINE)
        line += chunk
        if not chunk or len(line) > MAX_LINE:
            raise ConnectionError("the bus ended the authentication")
    return line[:-2].decode("ascii", "replace")
