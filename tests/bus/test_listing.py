"""The bytes of a page say to both libraries what the rows are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.bus import listing
from memd.bus.library import Library, load
from memd.bus.wire import RETURN, parse_header, printable
from memd.model import LENT, RELEASING, WRITTEN_OFF, Buffer
from tests.bus.conftest import LIBRARIES

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
TEXT = st.text(max_size=20)
STATE = st.sampled_from([LENT, RELEASING, WRITTEN_OFF])
TIME = st.integers(0, 1 << 40).map(float)
BUFFERS = st.builds(
    Buffer,
    id=U64,
    heap=TEXT,
    size=U64,
    state=STATE,
    uid=U32,
    pid=U32,
    owner=TEXT,
    label=TEXT,
    time=TIME,
    inode=U64,
    device=U64,
)


def plain(library: Library, body: bytes) -> Any:
    rows, info = library.unmarshal(listing.SIGNATURE, body, "<")
    told = [{key: (value.signature, value.value) for key, value in row.items()} for row in rows]
    return told, {key: (value.signature, value.value) for key, value in info.items()}


def row(buffer: Buffer) -> dict[str, tuple[str, object]]:
    return {
        "id": ("t", buffer.id),
        "heap": ("s", printable(buffer.heap)),
        "size": ("t", buffer.size),
        "state": ("s", buffer.state),
        "uid": ("u", buffer.uid),
        "pid": ("u", buffer.pid),
        "owner": ("s", printable(buffer.owner)),
        "name": ("s", printable(buffer.label)),
        "time": ("t", int(buffer.time * 1_000_000)),
        "inode": ("t", buffer.inode),
        "device": ("t", buffer.device),
    }


@pytest.mark.parametrize("name", LIBRARIES)
@settings(max_examples=60, deadline=None)
@given(buffers=st.lists(BUFFERS, max_size=5), following=st.none() | U64)
def test_rows_come_out_as_they_went_in(name: str, buffers: list[Buffer], following: int | None) -> None:
    rows, info = plain(load(name), listing.body(buffers, following))

    assert rows == [row(buffer) for buffer in buffers]
    assert info == ({} if following is None else {"next": ("t", following)})


def test_spliced_into_a_message(library: Library) -> None:
    buffer = Buffer(1, "system", 4096, 0, 1, "uid:0", "x", 1.5, 7, 8)
    content = listing.body([buffer] * 1000, 7)
    stand_in = library.marshal(
        RETURN, 9, destination=":1.5", reply_serial=3, signature=listing.SIGNATURE, body=list(listing.STAND_IN)
    )

    message = listing.spliced(stand_in, content)

    head = parse_header(message[: -len(content)])
    assert (head.reply_serial, head.destination, head.signature) == (3, ":1.5", listing.SIGNATURE)
    assert int.from_bytes(message[4:8], "little") == len(content)
    rows, _ = plain(library, message[-len(content) :])
    assert rows == [row(buffer)] * 1000
