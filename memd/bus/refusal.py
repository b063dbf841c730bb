"""An error reply as bytes. Who floods memd gets little else, and the library takes ten times as long for one as this does.

D-Bus Specification, "Message Format": little-endian, a header of four fields, a body of one string. tests/bus/test_refusal.py reads the
bytes with both libraries.
"""

from __future__ import annotations

import functools
import struct

from memd.bus.wire import ERROR, NO_REPLY, printable

_FIXED = struct.Struct("<cBBBIII")
_U = struct.Struct("<I")


def error(serial: int, destination: str, reply_serial: int, name: str, text: str) -> bytes:
    """The whole message. `destination`: a unique name as the bus gave it."""
    body = _string(printable(text))
    fields = _fixed_fields(name) + _U.pack(reply_serial) + b"\6\1s\0" + _string(destination)
    start = _FIXED.pack(b"l", ERROR, NO_REPLY, 1, len(body), serial, len(fields))
    return start + fields + bytes(-len(fields) & 7) + body


@functools.lru_cache(64)
def _fixed_fields(name: str) -> bytes:
    """Signature and error name, and the reply serial up to its number, which ends at 8."""
    head = b"\x08\1g\0\1s\0\0" + b"\4\1s\0" + _string(name)
    return head + bytes(-len(head) & 7) + b"\5\1u\0"


def _string(text: str) -> bytes:
    raw = text.encode()
    return _U.pack(len(raw)) + raw + b"\0"
