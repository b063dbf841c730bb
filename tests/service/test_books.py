"""The books' file: what is written is read again, whatever moment a kill chose; what nobody wrote is refused whole."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memd.errors import LimitsExceeded
from memd.kernel import memfd
from memd.model import Buffer
from memd.service import books as module
from memd.service.books import SLOT, BadBooks, Books, encode, parse

ONE = Buffer(
    id=1, heap="system", size=4096, uid=1000, pid=77, owner="uid:1000", label="frame", time=1.5, inode=40, device=11,
    rule="camera", area="system",
)  # fmt: skip


def number(which: int) -> Buffer:
    return ONE._replace(id=which, inode=40 + which)


@pytest.fixture
def books() -> Iterator[Books]:
    one = Books()
    yield one
    one.close()


def content(books: Books) -> bytes:
    return os.pread(books.fd, os.fstat(books.fd).st_size, 0)


def read(books: Books) -> list[Buffer]:
    return sorted((buffer for _, buffer in parse(content(books)).values()), key=lambda buffer: buffer.id)


def again(data: bytes) -> Books:
    """Books taken over from a file of these bytes."""
    fd = memfd.create_growing("books")
    os.pwrite(fd, data, 0)
    try:
        return Books(fd)
    except BadBooks:
        os.close(fd)
        raise


words = st.text(max_size=60)
numbers = st.integers(0, 2**64 - 1)
buffers = st.builds(
    Buffer, id=st.integers(1, 2**64 - 1), heap=words, size=st.integers(1, 2**64 - 1), uid=st.integers(0, 2**32 - 1),
    pid=st.integers(0, 2**32 - 1), owner=words, label=words, time=st.floats(allow_nan=False), inode=numbers,
    device=numbers, rule=words, area=words,
    state=st.sampled_from(["lent", "written-off"]),
)  # fmt: skip


@given(st.lists(buffers, max_size=5, unique_by=lambda buffer: buffer.id))
@settings(deadline=None)
def test_what_is_written_is_read_again(found: list[Buffer]) -> None:
    one = Books()
    written = []
    for buffer in found:
        try:
            one.write(buffer)
        except LimitsExceeded:
            continue
        written.append(buffer)

    assert read(one) == sorted(written, key=lambda buffer: buffer.id)
    one.close()


def write(books: Books, count: int) -> None:
    for which in range(1, count + 1):
        books.write(number(which))


def test_they_grow_and_use_slots_again(books: Books) -> None:
    write(books, 500)
    size = os.fstat(books.fd).st_size
    books.free(range(1, 500))
    for which in range(501, 900):
        books.write(number(which))

    assert os.fstat(books.fd).st_size == size
    assert {500, *range(501, 900)} <= {buffer.id for buffer in read(books)}


def test_the_highest_number_is_never_written_over(books: Books) -> None:
    for which in range(1, 300):
        books.write(number(which))
        books.free([which])
        assert max(buffer.id for buffer in read(books)) == which


def test_the_highest_number_stays_while_others_change(books: Books) -> None:
    write(books, 5)
    books.free([5])
    for _ in range(200):
        books.write(number(3)._replace(state="written-off"))
        books.write(number(4))
        assert {buffer.id for buffer in read_last(books)} >= {1, 2, 3, 4, 5}


def read_last(books: Books) -> list[Buffer]:
    taken = again(content(books))
    taken.close()
    return list(taken.buffers.values())


def test_the_later_of_two_records_counts(books: Books) -> None:
    write(books, 3)
    books.write(number(2)._replace(state="written-off"))

    assert [buffer.state for buffer in sorted(read_last(books), key=lambda buffer: buffer.id)] == [
        "lent", "written-off", "lent",
    ]  # fmt: skip


def test_they_are_taken_over_and_go_on(books: Books) -> None:
    for which in range(1, 10):
        books.write(number(which))
    books.free([1, 2, 9])
    taken = again(content(books))
    assert (taken.highest, set(taken.buffers)) == (9, set(range(1, 10)))

    taken.keep_only({3, 4})
    for which in range(10, 100):
        taken.write(number(which))

    assert {3, 4, *range(10, 100)} <= {buffer.id for buffer in read(taken)}
    taken.close()


def test_they_can_not_be_made_shorter(books: Books) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(books.fd, 0)


def test_a_kill_within_a_record_loses_that_record_only(books: Books) -> None:
    """Every length that a torn write may have, in a fresh slot and in one that was used."""
    for which in (1, 2):
        books.write(number(which))
    whole, record = content(books), encode(number(3), 3)
    for at in (SLOT, 3 * SLOT):
        for length in range(len(record) + 1):
            torn = whole[:at] + record[:length] + whole[at + length :]
            found = {buffer.id for _, buffer in parse(torn).values()}
            assert {2} <= found <= {1, 2, 3}
            assert (3 in found) == (torn[at : at + len(record)] == record)
            assert 1 in found or at == SLOT


def resealed(record: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(record[4:])) + record[4:]


def nonsense() -> dict[str, bytes]:
    one = Books()
    for which in (1, 2, 3):
        one.write(number(which))
    whole, record = content(one), encode(ONE, 9)
    one.close()
    return {
        "empty": b"",
        "another file": os.urandom(4 * SLOT),
        "no whole slots": whole[:-1],
        "another version": whole[:12] + b"\2" + whole[13:],
        "other slots": whole[:16] + b"\1" + whole[17:],
        "a longer header": whole[:40] + b"x" + whole[41:],
        "two torn slots": whole[: SLOT + 9] + b"?" + whole[SLOT + 10 : 2 * SLOT + 9] + b"?" + whole[2 * SLOT + 10 :],
        "one sequence twice": whole[:SLOT] + whole[SLOT : 2 * SLOT] * 2 + whole[3 * SLOT :],
        "flags": whole[:SLOT] + resealed(record[:6] + b"\2" + record[7:]).ljust(SLOT, b"\0") + whole[2 * SLOT :],
        "no id": whole[:SLOT] + encode(ONE._replace(id=0), 9).ljust(SLOT, b"\0") + whole[2 * SLOT :],
        "a word too long": whole[:SLOT]
        + resealed(record[:-7] + b"\xff\xff" + record[-5:]).ljust(SLOT, b"\0")
        + whole[2 * SLOT :],
    }


@pytest.mark.parametrize("what", nonsense())
def test_garbage_is_refused_whole(what: str) -> None:
    with pytest.raises(BadBooks):
        again(nonsense()[what])


def test_names_that_no_slot_holds_are_refused_before_anything_is_written(books: Books) -> None:
    before = content(books)

    with pytest.raises(LimitsExceeded, match="remembers"):
        books.write(ONE._replace(owner="u" * 500))

    assert content(books) == before


def test_full_books_are_an_error_and_stay_whole(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 64 * SLOT)
    with pytest.raises(OSError, match="no room"):
        write(books, 99)

    assert len(read(books)) == 62
    books.free([1, 2])
    books.write(number(200))


def test_a_file_that_is_no_memory_is_refused() -> None:
    reader, writer = os.pipe()
    with pytest.raises(BadBooks):
        Books(reader)
    os.close(reader)
    os.close(writer)
