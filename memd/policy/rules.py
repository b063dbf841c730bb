"""Which [Allow NAME] rule decides for a caller and a heap.

Only rules that name the heap are asked. The most specific one wins (a rule for the unit, then for the user, then for a group, then for
everyone), then the higher `Priority=`, then the name in alphabetical order: so a drop-in can say more without knowing what others said.
"""

from __future__ import annotations

from collections.abc import Iterable

from memd.model import AreaCap, Caller, Heap, Rule

EVERY_HEAP = "*"
# Root may, whatever the configuration says; a rule that names root and the heap stands before it, with its caps.
ROOT = Rule(name="root", users=frozenset({0}), heaps=frozenset({EVERY_HEAP}))
EVERYONE, GROUP, USER, UNIT = 1, 2, 3, 4
MANY = 8  # rules that one sentence tells


def deciding(rules: Iterable[Rule], caller: Caller, heap: Heap) -> Rule | None:
    """The rule that decides; None if no rule lets this caller use this heap."""
    matching = [rule for rule in rules if covers(rule, heap) and specificity(rule, caller)]
    if matching:
        return min(matching, key=lambda rule: (-specificity(rule, caller), -rule.priority, rule.name))
    return ROOT if caller.is_admin else None


def why(rules: Iterable[Rule], caller: Caller, heap: Heap) -> str:
    """Which rule decides, by what it knows the caller, and which others it goes before: one sentence without its end."""
    naming = [rule for rule in rules if covers(rule, heap)]
    decided = deciding(naming, caller, heap)
    others = [rule for rule in naming if rule is not decided and specificity(rule, caller)]
    if decided is ROOT:
        return f"root may use every heap, where no rule for root and heap {heap.name} says otherwise"
    if decided:
        before = f", before {_list(others, caller)}" if others else ""
        return f"rule {decided.name}, which is for {_match(decided, caller)}{before}"
    if naming:
        return f"no rule: those that name heap {heap.name} are for others ({_names(naming)})"
    return f"no rule names heap {heap.name}"


def _list(rules: Iterable[Rule], caller: Caller) -> str:
    ordered = sorted(rules, key=lambda rule: (-specificity(rule, caller), -rule.priority, rule.name))
    told = [f"rule {rule.name} (for {_match(rule, caller)})" for rule in ordered[:MANY]]
    return ", ".join([*told, *(["others"] if ordered[MANY:] else [])])


def _names(rules: Iterable[Rule]) -> str:
    names = sorted(rule.name for rule in rules)
    return ", ".join([*names[:MANY], *(["..."] if names[MANY:] else [])])


def _match(rule: Rule, caller: Caller) -> str:
    """What of the rule is true of the caller."""
    by = {
        UNIT: f"unit {caller.unit}",
        USER: f"user {caller.uid}",
        GROUP: f"group {min(caller.gids & rule.groups, default=0)}",
        EVERYONE: "everyone",
    }
    priority = f" with Priority={rule.priority}" if rule.priority else ""
    return by[specificity(rule, caller)] + priority


def covers(rule: Rule, heap: Heap) -> bool:
    """A region that belongs to a driver is reached by a rule that says its very name; a heap whose memory can be pinned, by one that says
    any of its names: `*` alone means neither."""
    if heap.device is not None:
        return heap.name in rule.heaps
    everywhere = EVERY_HEAP in rule.heaps and not heap.pinnable
    return everywhere or not rule.heaps.isdisjoint(heap.words)


def capped(cap: AreaCap, heap: Heap) -> bool:
    """Whether a cap is of this heap's area: two heaps of one area are one, whichever of them the cap names."""
    return cap.heap in {heap.name, heap.area} or (heap.device is None and cap.heap in heap.aliases)


def specificity(rule: Rule, caller: Caller) -> int:
    """0: the rule does not match the caller. A caller whose unit is not known is in none that a rule could name."""
    if caller.unit in rule.units:
        return UNIT
    if caller.uid in rule.users:
        return USER
    if not caller.gids.isdisjoint(rule.groups):
        return GROUP
    return EVERYONE if rule.everyone else 0
