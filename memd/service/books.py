"""The books as a file that outlives memd: a sealed memfd, one slot for each lent buffer.

A kill at any moment must leave them whole:
- a record is written before its buffer can be reached by anybody: before it goes into its weak set, and long before the reply. Who gets
  a buffer has it in the books; a record whose buffer never came to life is none that a set knows, and its slot is free again;
- a record never changes: another state of a buffer is another record. A slot is written again only when its record is of no use, so at
  most the one slot that was being written is torn, and what it was to say was told to nobody. Slots divide pages: it takes a kernel that
  stops in the middle of a page for even that;
- the slot with the highest number ever given is not written again before there is a higher one.

Format, version 1, little-endian: slots of 512 bytes. Slot 0: magic, version, slot size. The others: all zero, or a record: CRC-32 of
what follows, length, flags (1: written off), sequence, id, size, uid, pid, time, st_ino, st_dev, then owner, rule, heap, area and label,
each with its length before it. Of two records with one id the later one (sequence) counts.
"""

from __future__ import annotations

import errno
import heapq
import os
import struct
import zlib
from collections.abc import Iterable, Sequence

from memd.errors import LimitsExceeded
from memd.kernel import memfd
from memd.model import LENT, WRITTEN_OFF, Buffer

NAME = "memd-books"
VERSION = 1
SLOT = 512
HEADER = struct.Struct("<12sII")
MAGIC = b"memd books\r\n"
RECORD = struct.Struct("<IHHQQQIIdQQ")
CHECKED = 4  # what the checksum covers begins behind it
STATES = (LENT, WRITTEN_OFF)  # by flags
STEP = 64  # slots by which the file grows
LARGEST = 256 << 20
EMPTY = bytes(RECORD.size)


class BadBooks(Exception):
    """They are refused whole; the message says why."""


class Books:
    """Owns the file. `buffers`: every record that is in it, by id; most are of buffers that are gone."""

    def __init__(self, fd: int | None = None) -> None:
        """`fd`: books of an earlier memd; BadBooks if they are not, and then `fd` stays the caller's. OSError: no memory for new ones."""
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._top = self._top_id = self._sequence = 0
        self.buffers: dict[int, Buffer] = {}
        if fd is None:
            self.fd = memfd.create_growing(NAME)
            self._grow(0, HEADER.pack(MAGIC, VERSION, SLOT))
        else:
            self._take_over(parse(_read(fd)), os.fstat(fd).st_size // SLOT)
            self.fd = fd

    @property
    def highest(self) -> int:
        return max(self.buffers, default=0)

    def write(self, buffer: Buffer) -> None:
        """The buffer as it is from now on. LimitsExceeded for names that no slot holds, OSError without memory: nothing is written."""
        record = encode(buffer, self._sequence + 1)
        slot = self._take()
        try:
            _write(self.fd, record, slot * SLOT)
        except OSError:
            heapq.heappush(self._free, slot)
            raise
        self._sequence += 1
        self.free([buffer.id])
        self._put(buffer.id, slot)

    def free(self, ids: Iterable[int]) -> None:
        """Their buffers are gone, or never came to be: the slots may be used again. Nothing is written."""
        for number in ids:
            if number in self._slots:
                heapq.heappush(self._free, self._slots.pop(number))

    def keep_only(self, ids: set[int]) -> None:
        """After taking over: these are alive."""
        self.free(self._slots.keys() - ids)
        self.buffers = {}

    def close(self) -> None:
        os.close(self.fd)

    def _take(self) -> int:
        """The lowest free slot but the one with the highest number."""
        if len(self._free) < 2:
            self._grow(os.fstat(self.fd).st_size // SLOT, b"")
        slot = heapq.heappop(self._free)
        return slot if slot != self._top else heapq.heapreplace(self._free, slot)

    def _grow(self, slots: int, start: bytes) -> None:
        if (slots + STEP) * SLOT > LARGEST:
            raise OSError(errno.ENOSPC, "no room in memd's books")
        os.ftruncate(self.fd, (slots + STEP) * SLOT)
        if start:
            _write(self.fd, start, 0)
        self._free += range(max(slots, 1), slots + STEP)
        heapq.heapify(self._free)

    def _put(self, number: int, slot: int) -> None:
        self._slots[number] = slot
        if number >= self._top_id:
            self._top, self._top_id = slot, number

    def _take_over(self, found: dict[int, tuple[int, Buffer]], slots: int) -> None:
        for slot, (sequence, buffer) in sorted(found.items(), key=lambda item: item[1][0]):
            self.buffers[buffer.id], self._sequence = buffer, sequence
            self._put(buffer.id, slot)
        self._free = sorted(set(range(1, slots)) - set(self._slots.values()))


def encode(buffer: Buffer, sequence: int) -> bytes:
    words = [
        word.encode("utf-8", "surrogateescape")
        for word in (buffer.owner, buffer.rule, buffer.heap, buffer.area, buffer.label)
    ]
    text = b"".join(struct.pack("<H", len(word)) + word for word in words)
    length = RECORD.size + len(text)
    if length > SLOT:
        raise LimitsExceeded(
            f"names of {len(text)} bytes (owner, rule, heap, label) are more than the {SLOT - RECORD.size} that memd remembers"
        )
    rest = (buffer.id, buffer.size, buffer.uid, buffer.pid, buffer.time, buffer.inode, buffer.device)
    record = RECORD.pack(0, length, STATES.index(buffer.state), sequence, *rest) + text
    return struct.pack("<I", zlib.crc32(record[CHECKED:])) + record[CHECKED:]


def parse(data: bytes) -> dict[int, tuple[int, Buffer]]:
    """Slot -> (sequence, buffer). BadBooks for whatever a memd of this version did not write."""
    if len(data) % SLOT or len(data) < HEADER.size or HEADER.unpack_from(data)[0] != MAGIC:
        raise BadBooks("they are no books")
    _, version, slot = HEADER.unpack_from(data)
    if (version, slot) != (VERSION, SLOT) or any(data[HEADER.size : SLOT]):
        raise BadBooks(f"they are of version {version} (slots of {slot}), and this memd reads version {VERSION}")
    found, torn = {}, 0
    for at in range(SLOT, len(data), SLOT):
        record = data[at : at + SLOT]
        if record.startswith(EMPTY):
            continue
        length = RECORD.unpack_from(record)[1]
        if not RECORD.size <= length <= SLOT or zlib.crc32(record[CHECKED:length]) != RECORD.unpack_from(record)[0]:
            torn += 1
            continue
        found[at // SLOT] = _decode(record[:length], at // SLOT)
    if torn > 1:
        raise BadBooks(f"{torn} slots have wrong checksums, and a kill leaves one at most")
    if len({sequence for sequence, _ in found.values()}) != len(found):
        raise BadBooks("two slots have one sequence number")
    return found


def _decode(record: bytes, slot: int) -> tuple[int, Buffer]:
    _, _, flags, sequence, number, size, uid, pid, moment, inode, device = RECORD.unpack_from(record)
    words = _words(record[RECORD.size :])
    if flags >= len(STATES) or words is None or not (number and size and sequence):
        raise BadBooks(f"slot {slot} makes no sense")
    owner, rule, heap, area, label = words
    buffer = Buffer(
        id=number,
        heap=heap,
        size=size,
        uid=uid,
        pid=pid,
        owner=owner,
        label=label,
        time=moment,
        inode=inode,
        device=device,
        rule=rule,
        area=area,
        state=STATES[flags],
    )
    return sequence, buffer


def _words(text: bytes) -> Sequence[str] | None:
    """Five, or None."""
    words = []
    while len(text) >= 2:
        end = 2 + int.from_bytes(text[:2], "little")
        if end > len(text):
            return None
        words.append(text[2:end].decode("utf-8", "surrogateescape"))
        text = text[end:]
    return words if len(words) == 5 and not text else None


def _read(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > LARGEST:
        raise BadBooks(f"they have {size} bytes")
    try:
        return os.pread(fd, size, 0)
    except OSError as error:
        raise BadBooks(f"they can't be read: {error}") from error


def _write(fd: int, record: bytes, at: int) -> None:
    if os.pwrite(fd, record, at) != len(record):
        raise OSError(errno.ENOSPC, "no room in memd's books")
