"""The [Pool NAME] sections: buffers made ahead of demand."""

from __future__ import annotations

from memd import config_keys
from memd.config_keys import Key, Section
from memd.config_values import size_of, words
from memd.early import Finding
from memd.errors import MemdError
from memd.ini import Ini
from memd.model import Pool

MOST = 1000
NEEDED = ("heap", "size", "count")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:10]) <= MOST:
        raise MemdError(f"{text!r} is no count of buffers; write a number from 1 to {MOST}")
    return int(text)


def _heap(text: str) -> str:
    if len(text.split()) != 1 or "/" in text:
        raise MemdError(f"{text[:60]!r} is no name of a heap; write one as `memctl heaps` shows it")
    return text


def _keys(total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Heap",
            field="heap",
            parse=_heap,
            what="Which heap its buffers come from: a name as `memctl heaps` shows it, or an alias.",
        ),
        Key(
            name="Size",
            field="size",
            parse=size_of(total),
            what="Bytes of each buffer, rounded up to pages. A request for exactly this size is served from the pool.",
        ),
        Key(name="Count", field="count", parse=_count, what="How many buffers memd has ready, 1 to 1000."),
        Key(
            name="Owner",
            field="rules",
            parse=words,
            what="Names of [Allow] rules whose callers get buffers of the pool. Without it whoever may use the heap does.",
        ),
    )


SECTION = Section(
    name="Pool",
    keys=_keys,
    what="Buffers made ahead of demand: zeroing megabytes takes the kernel milliseconds, a buffer that is ready a message. Each is handed"
    " out once and never comes back. It counts against all lending while it waits, and against its owner from then on. A pool is filled up"
    " while the pressure is none, at medium it keeps half, at critical nothing. `Heap=`, `Size=` and `Count=` are needed.",
    named=True,
    instead="the pool is left out",
)


def pools(source: Ini, total: int, findings: list[Finding]) -> tuple[Pool, ...]:
    found = (_pool(source, place, name, total, findings) for place, name in config_keys.places(source, SECTION))
    return tuple(pool for pool in found if pool)


def _pool(source: Ini, place: str, name: str, total: int, findings: list[Finding]) -> Pool | None:
    wrong = len(findings)
    values = config_keys.read(source, place, SECTION, total, findings)
    if len(findings) > wrong and any(finding.severity != "warning" for finding in findings[wrong:]):
        return None
    lacking = [key.name for key in SECTION.keys(total) if key.field in NEEDED and key.field not in values]
    if lacking:
        findings.append(_incomplete(source, place, lacking))
        return None
    values["rules"] = frozenset(values.get("rules", ()))
    return Pool(name=name, **values)


def _incomplete(source: Ini, place: str, lacking: list[str]) -> Finding:
    where = source.places[place]
    message = f"{' and '.join(f'{name}=' for name in lacking)} is not set; the pool is left out"
    return Finding(file=where.file, line=where.line, section=place, key=lacking[0], message=message)
