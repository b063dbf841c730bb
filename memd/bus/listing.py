"""A page of ListBuffers as the bytes of its body: a thousand rows of one shape, which the library would take 40 ms for and this 3 ms.

D-Bus Specification, "Marshaling (Wire Format)". An a{sv} is a length, padding to 8, and entries that each begin at 8; here each row ends
with a number of 8 bytes, so that every row begins where it may. tests/bus/test_listing.py reads the bytes with both libraries.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence

from memd.model import Buffer

SIGNATURE = "aa{sv}a{sv}"
STAND_IN: tuple[object, ...] = ([], {})  # a body of this signature, for whoever makes the header
MICROSECONDS = 1_000_000
_U, _T = struct.Struct("<I"), struct.Struct("<Q")


def body(buffers: Sequence[Buffer], following: int | None) -> bytes:
    """The rows, and `next` if there are more."""
    rows = bytearray()
    for buffer in buffers:
        entries = _row(buffer)
        rows += _U.pack(len(entries)) + (bytes(4) if rows else b"") + entries
    more = b"" if following is None else _key("next", "t") + _T.pack(following)
    # Rows end at 8; without any the array's own length stands where the first one's would.
    gap = bytes(4) if rows else b""
    return _U.pack(len(rows)) + bytes(rows) + _U.pack(len(more)) + gap + more


def _row(buffer: Buffer) -> bytes:
    return b"".join(
        (
            _text("heap", buffer.heap),
            _text("state", buffer.state),
            _text("owner", buffer.owner),
            _text("name", buffer.label),
            _key("uid", "u"), _U.pack(buffer.uid),
            _key("pid", "u"), _U.pack(buffer.pid),
            _key("id", "t"), _T.pack(buffer.id),
            _key("size", "t"), _T.pack(buffer.size),
            _key("inode", "t"), _T.pack(buffer.inode),
            _key("device", "t"), _T.pack(buffer.device),
            _key("time", "t"), _T.pack(int(buffer.time * MICROSECONDS)),
        )
    )  # fmt: skip


@functools.lru_cache(64)
def _key(name: str, kind: str) -> bytes:
    """An entry up to its value, aligned for it. (`uid` and `pid` are of a length that makes the whole entry end at 8.)"""
    start = _U.pack(len(name)) + name.encode() + b"\0" + b"\1" + kind.encode() + b"\0"
    return start + bytes(-len(start) & (7 if kind == "t" else 3))


@functools.lru_cache(1024)
def _text(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")
    entry = _key(name, "s") + _U.pack(len(raw)) + raw + b"\0"
    return entry + bytes(-len(entry) & 7)


def spliced(message: bytes, content: bytes) -> bytes:
    """`message`, made with STAND_IN for a body, with `content` instead. Little-endian, as both libraries write."""
    start = 16 + (_U.unpack_from(message, 12)[0] + 7) // 8 * 8
    return message[:4] + _U.pack(len(content)) + message[8:start] + content
