"""Which buffers without a file still have their memory: an O_PATH fd keeps it, and shows in no list.

What can be known is a sum: what memd got from a CMA area, less what is alive, less what anybody gave back to the area since. So much at
least is still taken; what others gave back only makes it less. It is laid on an owner as far as nobody else's buffers can explain it, so
that nobody is charged for what another one hides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memd.model import Buffer


def still_taken(withheld: int, known: Sequence[Buffer], fresh: Sequence[Buffer]) -> set[int]:
    """Ids of buffers whose memory is still taken. `withheld`: bytes that are, at least; `known`: those that an earlier look told;
    `fresh`: those that lost their last file since."""
    kept = _cover(withheld, known)
    rest = withheld - _size(buffer for buffer in known if buffer.id in kept)
    everybody = _size(fresh)
    for owner in {buffer.owner for buffer in fresh}:
        own = [buffer for buffer in fresh if buffer.owner == owner]
        kept |= _cover(rest - (everybody - _size(own)), own)
    return kept


def _cover(amount: int, buffers: Sequence[Buffer]) -> set[int]:
    """The buffers that are left when as many are let go as `amount` allows, the large ones first."""
    left, kept = _size(buffers), set()
    for buffer in sorted(buffers, key=lambda buffer: (-buffer.size, buffer.id)):
        if left - buffer.size >= amount:
            left -= buffer.size
        else:
            kept.add(buffer.id)
    return kept


def _size(buffers: Iterable[Buffer]) -> int:
    return sum(buffer.size for buffer in buffers)
