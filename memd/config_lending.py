"""The [Lending] section: bounds on all lending together."""

from __future__ import annotations

from memd import config_keys
from memd.config_keys import Key, Section
from memd.config_values import count, seconds, size_of
from memd.early import Finding
from memd.errors import MemdError
from memd.ini import Ini
from memd.model import Bounds, Level


def default_bounds(total: int) -> Bounds:
    """Half of RAM lent at most, a quarter in one buffer, and never less than a twentieth (64M at the least) left available."""
    return Bounds(
        max_buffer_size=total // 4,
        max_bytes=total // 2,
        max_buffers=10_000,
        max_buffers_per_owner=1_000,
        floor=max(total // 20, min(64 << 20, total // 4)),
    )


def _refuse_at(text: str) -> Level | None:
    levels = {"low": Level.LOW, "medium": Level.MEDIUM, "critical": Level.CRITICAL, "never": None}
    if text not in levels:
        raise MemdError(f"{text!r} is no pressure level; write low, medium, critical or never")
    return levels[text]


def _keys(total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="MaxBytes",
            field="max_bytes",
            parse=size_of(total),
            what="Memory lent at one time, a size or a share of RAM.",
            default="50%",
        ),
        Key(
            name="MaxBuffers",
            field="max_buffers",
            parse=count,
            what="Buffers lent at one time, 1 to 1000000.",
            default="10000",
        ),
        Key(
            name="MaxBuffersPerOwner",
            field="max_buffers_per_owner",
            parse=count,
            what="Buffers lent to one owner at one time.",
            default="1000",
        ),
        Key(
            name="MaxBufferSize",
            field="max_buffer_size",
            parse=size_of(total),
            what="The largest buffer, a size or a share of RAM.",
            default="25%",
        ),
        Key(
            name="Floor",
            field="floor",
            parse=size_of(total),
            what="Available memory that lending never goes below, a size or a share of RAM. Heaps whose memory cannot be moved are judged"
            " by MemAvailable less CmaFree, which they cannot use. The default is at least 64M (a quarter of RAM where that is less).",
            default="5%",
        ),
        Key(
            name="RefuseAt",
            field="refuse_at",
            parse=_refuse_at,
            what="The level of memory pressure from which on nothing is lent, except by rules with `ExemptFromPressure=yes`: `low`,"
            " `medium`, `critical` or `never`.",
            default="critical",
        ),
        Key(
            name="Deadline",
            field="deadline",
            parse=seconds(0.1, 600, "from 100ms to 10min"),
            what="How long a caller waits for one heap, 100ms to 10min, before `any` goes on to the next heap, or the answer is `Busy`."
            " The bus gives a call 25s by default.",
            default="10s",
        ),
    )


SECTION = Section(
    name="Lending",
    keys=_keys,
    what="Bounds on all lending together, whatever a rule says, root included.",
)


def settings(source: Ini, total: int, findings: list[Finding]) -> Bounds:
    bounds = default_bounds(total)
    defaults = {name: getattr(bounds, name) for name in Bounds._fields}
    return Bounds(**(defaults | config_keys.read(source, SECTION.name, SECTION, total, findings)))
