"""Refusals in the journal: all that a person needs, and no more than a person reads."""

from __future__ import annotations

from memd import names
from memd.model import Caller, Event, Heap, HeapKind, Request
from memd.policy.admission import refusal
from memd.service.allowance import MAX_KEYS
from memd.service.refusals import BURST, INTERVAL, Refusals

REQUEST = Request(Heap("system", HeapKind.SYSTEM), (4096, 4096), "label")
VERDICT = refusal(
    "camera", "rule camera: the owner may have 4K, 4K in use, 8K asked for", "QuotaExceeded", 4096, 4096, "owner"
)


def caller(uid: int) -> Caller:
    return Caller(":1.5", uid, frozenset(), 77, f"uid:{uid}")


def test_an_entry_has_it_all() -> None:
    told: list[Event] = []
    Refusals(told.append).refused(caller(1000), REQUEST, VERDICT)

    [event] = told
    assert event.message_id == names.MESSAGE_REFUSED
    assert event.message == f"uid:1000 was refused 8K of heap system: {VERDICT.reason}"
    assert event.fields == {
        "MEMD_OWNER": "uid:1000",
        "MEMD_UID": 1000,
        "MEMD_PID": 77,
        "MEMD_HEAP": "system",
        "MEMD_SIZE": 8192,
        "MEMD_RULE": "camera",
        "MEMD_ERROR": "org.memd1.Error.QuotaExceeded",
        "MEMD_LIMIT": 4096,
        "MEMD_USE": 4096,
        "MEMD_SUPPRESSED": 0,
    }


def test_an_owner_who_keeps_asking_is_written_now_and_then() -> None:
    told: list[Event] = []
    now = [0.0]
    one = Refusals(told.append, lambda: now[0])
    for _ in range(1000):
        one.refused(caller(1000), REQUEST, VERDICT)
    one.refused(caller(2000), REQUEST, VERDICT)
    assert len(told) == BURST + 1

    now[0] = INTERVAL
    for _ in range(10):
        one.refused(caller(1000), REQUEST, VERDICT)
    assert len(told) == BURST + 2
    assert told[-1].fields["MEMD_SUPPRESSED"] == 1000 - BURST
    assert "995 more" in told[-1].message


def test_all_are_counted_and_few_remembered() -> None:
    one = Refusals(lambda _event: None, lambda: 0.0)
    for uid in range(MAX_KEYS + 10):
        one.refused(caller(uid), REQUEST, VERDICT)
    one.refused(caller(20), REQUEST, VERDICT)

    assert one.total == MAX_KEYS + 11
    assert len(one.by_owner()) == MAX_KEYS
    assert "uid:5" not in one.by_owner()
    assert (one.by_owner()["uid:20"].count, one.by_owner()["uid:20"].reason) == (2, VERDICT.reason)
