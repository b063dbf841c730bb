"""The lane's messages as bytes, for both of its ends. dbus/lane.md tells the protocol; dbus/memd-lane.h says the same in C.

One message is one packet of a SOCK_SEQPACKET socket, in the machine's own byte order. Imports next to nothing: clients live on it.
"""

from __future__ import annotations

import struct

from memd import errors
from memd.errors import InvalidArgs, MemdError, NotSupported

VERSION = 1
WINDOW = 64  # requests whose replies were not read yet; more ends the lane
BATCH = 64  # buffers in one request
ALLOCATE = 1
NAME = 64
REQUEST = struct.Struct(f"=IHH{NAME}s{NAME}s")  # serial, kind, count, heap, name; then `count` sizes
NUMBER = struct.Struct("=I")
SERIAL = NUMBER.size
REST = struct.Struct(f"=HH{NAME}s{NAME}s")  # a request without its serial
REPLY = struct.Struct(f"=IHH{NAME}s")  # serial, error, count, heap; then `count` (id, size), or text
SIZES = tuple(struct.Struct(f"={count}Q") for count in range(BATCH + 1))
BUFFERS = tuple(struct.Struct(f"={2 * count}Q") for count in range(BATCH + 1))
TEXT = 400  # bytes of an error's sentence: so the whole window fits in a socket's buffer
MAX_REQUEST = REQUEST.size + 8 * BATCH
MAX_REPLY = REPLY.size + max(16 * BATCH, TEXT)
# Codes are never used for something else. 0: no error.
ERRORS: tuple[type[MemdError], ...] = (
    MemdError, errors.Failed, errors.NoSuchHeap, errors.NotAllowed, errors.QuotaExceeded, errors.LimitsExceeded, errors.NoMemory,
    errors.PressureTooHigh, errors.Busy, errors.NotSupported, InvalidArgs,
)  # fmt: skip
CODES = {kind: code for code, kind in enumerate(ERRORS) if code}


class Broken(Exception):
    """A packet that is none of this protocol."""


class NoRoom(Exception):
    """A request that the lane's form cannot say; another way may."""


def request(serial: int, heap: str, sizes: tuple[int, ...], name: str = "") -> bytes:
    """NoRoom for what the lane's form cannot say."""
    if len(sizes) > BATCH or not all(0 <= size < 1 << 64 for size in sizes):
        raise NoRoom(f"{len(sizes)} sizes")
    head = REQUEST.pack(serial, ALLOCATE, len(sizes), _field(heap), _field(name))
    return head + SIZES[len(sizes)].pack(*sizes)


def serial(data: bytes) -> int:
    """Of a request. Broken if there is none."""
    if not REQUEST.size <= len(data) <= MAX_REQUEST:
        raise Broken(f"{len(data)} bytes, and a request has from {REQUEST.size} to {MAX_REQUEST}")
    number: int = NUMBER.unpack_from(data)[0]
    return number


def parse_request(rest: bytes) -> tuple[str, str, tuple[int, ...]]:
    """(heap, name, sizes) of what follows the serial. Broken if the length is not what its count says; NotSupported, InvalidArgs."""
    kind, count, heap, name = REST.unpack_from(rest)
    if kind != ALLOCATE:
        raise NotSupported(f"requests of kind {kind} are none of version {VERSION}")
    if count > BATCH or len(rest) != REST.size + 8 * count:
        raise Broken(f"{len(rest) + SERIAL} bytes for {count} sizes")
    return _word(heap), _word(name), SIZES[count].unpack_from(rest, REST.size)


def _word(field: bytes) -> str:
    """InvalidArgs for what is not ASCII, or goes on behind a zero byte."""
    text = field.rstrip(b"\0")
    if b"\0" in text or not text.isascii():
        raise InvalidArgs(f"{field[:NAME]!r}: names are printable ASCII, and zeros fill the rest of their field")
    return text.decode("ascii")


def reply(serial: int, heap: str, buffers: list[tuple[int, int]]) -> bytes:
    """`buffers`: (id, size) of each; their fds travel beside."""
    numbers = [number for pair in buffers for number in pair]
    return REPLY.pack(serial, 0, len(buffers), heap.encode("ascii", "replace")) + BUFFERS[len(buffers)].pack(*numbers)


def refusal(serial: int, error: MemdError) -> bytes:
    """What went wrong, for a machine and for a person."""
    text = str(error).encode("utf-8", "backslashreplace")[:TEXT]
    return REPLY.pack(serial, CODES.get(type(error), 1), 0, b"") + text


def parse_reply(data: bytes) -> tuple[int, str, list[tuple[int, int]], MemdError | None]:
    """(serial, heap that served, (id, size) of each buffer, error). Broken if it makes no sense."""
    if len(data) < REPLY.size:
        raise Broken(f"{len(data)} bytes, and a reply has at least {REPLY.size}")
    serial, code, count, heap = REPLY.unpack_from(data)
    if code:
        kind = ERRORS[code] if code < len(ERRORS) else errors.Failed
        return serial, "", [], kind(data[REPLY.size :].decode("utf-8", "replace"))
    if not 0 < count <= BATCH or len(data) != REPLY.size + 16 * count:
        raise Broken(f"{len(data)} bytes for {count} buffers")
    numbers = BUFFERS[count].unpack_from(data, REPLY.size)
    return (
        serial,
        heap.rstrip(b"\0").decode("ascii", "replace"),
        list(zip(numbers[::2], numbers[1::2], strict=True)),
        None,
    )


def _field(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > NAME or b"\0" in data:
        raise NoRoom(f"a name of {len(data)} bytes")
    return data
