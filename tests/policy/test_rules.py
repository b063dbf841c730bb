"""Which rule decides: the most specific, then the higher priority, then the name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.early import replace
from memd.model import Caller, Heap, HeapKind, Rule
from memd.policy import rules

SYSTEM = Heap("system", HeapKind.SYSTEM, "/dev/dma_heap/system")
CMA = Heap("default_cma_region", HeapKind.CMA, aliases=("reserved", "contiguous"), region="reserved")
ADSP = Heap("adsp", HeapKind.CMA, region="adsp", device="soc/fastrpc", aliases=("dsp",))
GROUP, CAMERA, EXTRA = 44, 1000, 7
CALLER = Caller(":1.5", CAMERA, frozenset({CAMERA, GROUP}), 4321, "uid:1000")
ROOT = Caller(":1.6", 0, frozenset({0}), 1, "uid:0")


def rule(name: str, heaps: str = "system", **values: object) -> Rule:
    return Rule(name=name, heaps=frozenset(heaps.split()), **values)  # type: ignore[arg-type]


USER_RULE = rule("user", users=frozenset({CAMERA}))
GROUP_RULE = rule("group", groups=frozenset({GROUP}))
ALL_RULE = rule("all", everyone=True)
UNIT_RULE = rule("unit", units=frozenset({"camera.service"}))
SERVICE = replace(CALLER, owner="camera.service", unit="camera.service")


@pytest.mark.parametrize(
    ("given_rules", "wins"),
    [
        ((), None),
        ((ALL_RULE, GROUP_RULE, USER_RULE), "user"),
        ((ALL_RULE, GROUP_RULE), "group"),
        ((ALL_RULE,), "all"),
        ((GROUP_RULE, rule("all", everyone=True, priority=9)), "group"),
        ((rule("b", everyone=True), rule("a", everyone=True)), "a"),
        ((rule("a", everyone=True), rule("b", everyone=True, priority=1)), "b"),
        ((rule("a", everyone=True, priority=-1), rule("b", everyone=True)), "b"),
        ((rule("other", users=frozenset({1})), rule("others", groups=frozenset({EXTRA}))), None),
        ((rule("nobody"),), None),
        ((rule("user", "udmabuf", users=frozenset({CAMERA})), ALL_RULE), "all"),
    ],
)
def test_who_wins(given_rules: tuple[Rule, ...], wins: str | None) -> None:
    decided = rules.deciding(given_rules, CALLER, SYSTEM)

    assert (decided and decided.name) == wins


@pytest.mark.parametrize(
    ("heaps", "heap", "covered"),
    [
        ("system", SYSTEM, True),
        ("system", CMA, False),
        ("reserved", CMA, True),
        ("contiguous", CMA, True),
        ("*", CMA, True),
        ("", SYSTEM, False),
        ("adsp", ADSP, True),
        ("dsp", ADSP, False),
        ("*", ADSP, False),
    ],
)
def test_a_rule_names_heaps_by_name_or_alias_and_a_drivers_region_by_its_name_only(
    heaps: str, heap: Heap, *, covered: bool
) -> None:
    assert rules.covers(rule("one", heaps), heap) is covered


@pytest.mark.parametrize("heap", [SYSTEM, CMA, ADSP])
def test_root_may(heap: Heap) -> None:
    assert rules.deciding((), ROOT, heap) is rules.ROOT


def test_a_rule_for_root_goes_before_that() -> None:
    capped = rule("capped", users=frozenset({0}), max_bytes=1)

    assert rules.deciding((capped,), ROOT, SYSTEM) is capped
    assert rules.deciding((capped,), ROOT, CMA) is rules.ROOT


def test_a_uid_without_groups_matches_no_group_rule() -> None:
    stranger = Caller(":1.7", 231072, frozenset(), 5, "uid:231072")

    assert rules.deciding((GROUP_RULE, USER_RULE), stranger, SYSTEM) is None


def test_the_unit_goes_before_the_user() -> None:
    everything = (ALL_RULE, GROUP_RULE, rule("user", users=frozenset({CAMERA}), priority=9), UNIT_RULE)

    assert rules.deciding(everything, SERVICE, SYSTEM) is UNIT_RULE
    assert rules.deciding([UNIT_RULE], replace(ROOT, unit="camera.service"), SYSTEM) is UNIT_RULE


@pytest.mark.parametrize("unit", [None, "camera", "other.service", "camera.service.service", "Camera.service"])
def test_another_unit_matches_no_unit_rule(unit: str | None) -> None:
    assert rules.deciding([UNIT_RULE], replace(CALLER, unit=unit), SYSTEM) is None


def test_the_owner_is_no_unit() -> None:
    """Where the bus tells no process, nothing that a caller can say makes a unit of it."""
    assert rules.deciding([UNIT_RULE], replace(CALLER, owner="camera.service"), SYSTEM) is None


@pytest.mark.parametrize(
    ("given_rules", "caller", "sentence"),
    [
        ((USER_RULE,), CALLER, "rule user, which is for user 1000"),
        ((ALL_RULE, UNIT_RULE, replace(GROUP_RULE, priority=3), USER_RULE), SERVICE,
         ("rule unit, which is for unit camera.service, before rule user (for user 1000), "
          "rule group (for group 44 with Priority=3), rule all (for everyone)")),
        ((ALL_RULE,), ROOT, "rule all, which is for everyone"),
        ((), ROOT, "root may use every heap, where no rule for root and heap system says otherwise"),
        ((), CALLER, "no rule names heap system"),
        ((UNIT_RULE, rule("cma", "contiguous", everyone=True)), CALLER,
         "no rule: those that name heap system are for others (unit)"),
        (tuple(rule(f"r{number}", everyone=True) for number in range(10)), CALLER,
         "rule r0, which is for everyone, before " + ", ".join(f"rule r{number} (for everyone)" for number in range(1, 9)) + ", others"),
        (tuple(rule(f"r{number}") for number in range(10)), CALLER,
         "no rule: those that name heap system are for others (r0, r1, r2, r3, r4, r5, r6, r7, ...)"),
    ],
)  # fmt: skip
def test_why(given_rules: tuple[Rule, ...], caller: Caller, sentence: str) -> None:
    assert rules.why(given_rules, caller, SYSTEM) == sentence


RULES = st.lists(
    st.builds(
        Rule,
        name=st.sampled_from("abcdef"),
        units=st.frozensets(st.sampled_from(["camera.service", "other.service"])),
        users=st.frozensets(st.sampled_from([CAMERA, 1])),
        groups=st.frozensets(st.sampled_from([GROUP, EXTRA])),
        everyone=st.booleans(),
        heaps=st.frozensets(st.sampled_from(["system", "udmabuf", "*"])),
        priority=st.integers(-2, 2),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)


CALLERS = st.sampled_from([CALLER, SERVICE])


@given(RULES, st.randoms(), CALLERS)
def test_the_order_of_rules_says_nothing(given_rules: list[Rule], random: object, caller: Caller) -> None:
    shuffled = list(given_rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert rules.deciding(shuffled, caller, SYSTEM) == rules.deciding(given_rules, caller, SYSTEM)


@given(RULES, CALLERS)
def test_who_decides_matches_and_names_the_heap(given_rules: list[Rule], caller: Caller) -> None:
    decided = rules.deciding(given_rules, caller, SYSTEM)

    if decided:
        assert rules.covers(decided, SYSTEM)
        assert rules.specificity(decided, caller)
        assert all(
            rules.specificity(one, caller) <= rules.specificity(decided, caller)
            for one in given_rules
            if rules.covers(one, SYSTEM)
        )
    else:
        assert not [one for one in given_rules if rules.covers(one, SYSTEM) and rules.specificity(one, caller)]


@pytest.mark.parametrize(("heaps", "covered"), [("*", False), ("contiguous", True), ("reserved", True)])
def test_a_heap_that_can_be_pinned_is_for_rules_that_name_it(heaps: str, covered: bool) -> None:
    heap = replace(CMA, pinnable=True)

    assert rules.covers(rule("one", heaps), heap) is covered
    assert rules.deciding([], ROOT, heap) is rules.ROOT
