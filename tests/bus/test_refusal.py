"""The bytes of an error reply say to memd's own reader and to both libraries what was put in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.bus import refusal
from memd.bus.library import load
from memd.bus.wire import ERROR, NO_REPLY, parse_header, printable
from tests.bus.conftest import LIBRARIES

SERIAL = st.integers(1, (1 << 32) - 1)
DESTINATION = st.integers(0, 10**9).map(lambda number: f":1.{number}")
NAMES = st.sampled_from(
    ["org.memd1.Error.Busy", "org.memd1.Error.QuotaExceeded", "org.freedesktop.DBus.Error.InvalidArgs"]
)


@pytest.mark.parametrize("name", LIBRARIES)
@settings(max_examples=60, deadline=None)
@given(serial=SERIAL, destination=DESTINATION, reply_serial=SERIAL, kind=NAMES, text=st.text(max_size=300))
def test_it_says_what_was_put_in(
    name: str, serial: int, destination: str, reply_serial: int, kind: str, text: str
) -> None:
    data = refusal.error(serial, destination, reply_serial, kind, text)

    length = int.from_bytes(data[12:16], "little")
    start = 16 + length + (-length & 7)
    head = parse_header(data[:start])
    assert (head.kind, head.flags, head.serial, head.signature) == (ERROR, NO_REPLY, serial, "s")
    assert (head.destination, head.reply_serial, head.error_name) == (destination, reply_serial, kind)
    assert int.from_bytes(data[4:8], "little") == len(data) - start
    library = load(name)
    assert library.unmarshal("s", data[start:], "<") == [printable(text)]
    pairs = {
        code: value.value
        for code, value in library.unmarshal("a(yv)", data[12:16] + bytes(4) + data[16 : 16 + length], "<")[0]
    }
    assert pairs == {4: kind, 5: reply_serial, 6: destination, 8: "s"}
