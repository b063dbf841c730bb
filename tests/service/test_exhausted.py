"""CmaAllocationFailed: once per failure that everybody should know of, and never a flood."""

from __future__ import annotations

from typing import Any

from memd import names
from memd.model import Event, Heap, HeapKind, Request
from memd.policy.admission import refusal
from memd.service.exhausted import BURST, INTERVAL, Exhausted

CMA = Heap("my_cma", HeapKind.CMA, region="my_cma")
NO_MEMORY = refusal("camera", "nothing left", "NoMemory")


class Ears:
    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[Event] = []
        self.signals: list[tuple[str, int, dict[str, Any]]] = []
        self.exhausted = Exhausted(self.events.append, self.signal, 4096, lambda: self.now)

    def signal(self, region: str, pages: int, facts: dict[str, object]) -> None:
        self.signals.append((region, pages, facts))


def test_a_full_area_is_told() -> None:
    ears = Ears()

    ears.exhausted.refused(Request(CMA, (8192, 4097)), NO_MEMORY)

    assert ears.signals == [("my_cma", 2, {"heap": "my_cma", "size": 8192, "suppressed": 0})]
    (event,) = ears.events
    assert (event.message_id, event.fields["MEMD_REGION"]) == (names.MESSAGE_CMA_FAILED, "my_cma")


def test_what_concerns_one_caller_is_not_broadcast() -> None:
    ears = Ears()

    ears.exhausted.refused(Request(CMA, (4096,)), refusal("camera", "his cap", "QuotaExceeded"))
    ears.exhausted.refused(Request(Heap("system", HeapKind.SYSTEM), (4096,)), NO_MEMORY)

    assert (ears.signals, ears.events) == ([], [])


def test_who_keeps_asking_does_not_flood_the_bus() -> None:
    ears = Ears()
    for _ in range(1000):
        ears.exhausted.refused(Request(CMA, (4096,)), NO_MEMORY)
    assert len(ears.signals) == len(ears.events) == BURST

    ears.now += INTERVAL
    ears.exhausted.refused(Request(CMA, (4096,)), NO_MEMORY)

    assert ears.signals[-1][2]["suppressed"] == 1000 - BURST
