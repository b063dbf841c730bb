"""What swap lives by: memd's where nobody else speaks, and what it was when zram goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memd.early import SwapSettings
from memd.policy import swaptune
from memd.policy.swaptune import Facts, Kept, Plan

KERNELS = {
    "vm/swappiness": 60,
    "vm/page-cluster": 3,
    "vm/watermark_scale_factor": 10,
    "vm/watermark_boost_factor": 15000,
}
OURS = {"vm/swappiness": 180, "vm/page-cluster": 0, "vm/watermark_scale_factor": 125, "vm/watermark_boost_factor": 0}
DEFAULTS = SwapSettings()


def decide(kept: dict[str, Kept] | None = None, settings: SwapSettings = DEFAULTS, **facts: object) -> Plan:
    return swaptune.decide(settings, Facts(**{"zram": True, "other": False, "now": KERNELS, **facts}), kept or {})  # type: ignore[arg-type]


def test_zram_alone() -> None:
    plan = decide()

    assert plan.writes == OURS
    assert plan.kept["vm/swappiness"] == Kept(before=60, set=180)


def test_beside_other_swap() -> None:
    assert decide(other=True).writes == {
        "vm/swappiness": 100,
        "vm/watermark_scale_factor": 125,
        "vm/watermark_boost_factor": 0,
    }


def test_nothing_without_zram_and_nothing_that_was_not_ours_is_put_back() -> None:
    assert decide(zram=False) == Plan(writes={}, kept={})


def test_where_the_administrator_speaks_nothing_is_done() -> None:
    plan = decide(spoken=frozenset({"vm/swappiness"}))

    assert "vm/swappiness" not in plan.writes
    assert "vm/swappiness" not in plan.kept


def test_put_back_when_zram_goes() -> None:
    plan = decide(decide().kept, zram=False, now=OURS)

    assert (plan.writes, plan.kept) == (KERNELS, {})


def test_what_somebody_set_by_hand_meanwhile_stays() -> None:
    kept = decide().kept
    by_hand = {**OURS, "vm/swappiness": 10}
    later = decide(kept, now=by_hand)
    assert later.writes == {}
    assert "vm/swappiness" not in decide(later.kept, now={**by_hand, "vm/swappiness": 180}).writes
    assert "vm/swappiness" not in decide(later.kept, zram=False, now=by_hand).writes


def test_a_disk_that_comes_later_takes_page_cluster_back() -> None:
    plan = decide(decide().kept, other=True, now=OURS)

    assert plan.writes == {"vm/swappiness": 100, "vm/page-cluster": 3}
    assert plan.kept["vm/swappiness"] == Kept(before=60, set=100)


def test_keep_keeps() -> None:
    nothing = SwapSettings(
        swappiness=None, page_cluster=None, watermark_boost_factor=None, watermark_scale_factor=None
    )

    assert decide(settings=nothing).writes == {}
    assert decide(decide().kept, nothing, now=OURS).writes == KERNELS


def test_what_is_right_already_is_not_remembered() -> None:
    assert decide(now=OURS) == Plan(writes={}, kept={})


values = st.none() | st.integers(0, 200)
settings = st.builds(
    SwapSettings, swappiness=values, page_cluster=values, watermark_scale_factor=values, watermark_boost_factor=values
)


@given(
    settings, st.lists(st.tuples(st.booleans(), st.booleans(), st.sets(st.sampled_from(list(KERNELS)))), max_size=8)
)
def test_whatever_comes_and_goes_at_the_end_all_is_as_it_was(
    settings: SwapSettings, history: list[tuple[bool, bool, set[str]]]
) -> None:
    now = dict(KERNELS)
    kept: dict[str, Kept] = {}
    for zram, other, spoken in [*history, (False, False, set())]:
        facts = Facts(zram=zram, other=other, now=now, spoken=frozenset(spoken))
        plan = swaptune.decide(settings, facts, kept)
        now, kept = now | plan.writes, plan.kept
        again = swaptune.decide(settings, Facts(zram=zram, other=other, now=now, spoken=frozenset(spoken)), kept)
        assert (again.writes, again.kept) == ({}, kept)

    assert now == KERNELS
    assert kept == {}
