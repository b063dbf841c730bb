"""Who is charged for memory that nobody has a file of: whoever it can be proved of, and nobody else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memd.model import Buffer
from memd.policy.releasing import still_taken

OWNERS = ("a", "b", "c")


def buffer(number: int, size: int, owner: str = "a") -> Buffer:
    return Buffer(
        id=number, heap="cma", size=size, uid=1, pid=1, owner=owner, label="", time=0.0, inode=number, device=1, area="cma"
    )  # fmt: skip


def test_nothing_withheld_lets_all_go() -> None:
    assert still_taken(0, [buffer(1, 4)], [buffer(2, 4), buffer(3, 8)]) == set()
    assert still_taken(-100, [buffer(1, 4)], [buffer(2, 4)]) == set()


def test_what_is_withheld_stays_with_its_owner() -> None:
    assert still_taken(4, [], [buffer(1, 4)]) == {1}
    assert still_taken(4, [], [buffer(1, 4), buffer(2, 8)]) == {1}
    assert still_taken(12, [], [buffer(1, 4), buffer(2, 8)]) == {1, 2}


def test_who_may_have_given_back_is_not_charged_for_another() -> None:
    assert still_taken(4, [], [buffer(1, 4, "a"), buffer(2, 4, "b")]) == set()
    assert still_taken(8, [], [buffer(1, 8, "a"), buffer(2, 4, "b")]) == {1}


def test_what_was_known_before_explains_the_rest() -> None:
    assert still_taken(4, [buffer(1, 4, "a")], [buffer(2, 4, "b")]) == {1}
    assert still_taken(8, [buffer(1, 4, "a")], [buffer(2, 4, "b")]) == {1, 2}


sizes = st.integers(1, 8)


@given(
    st.lists(st.tuples(sizes, st.sampled_from(OWNERS), st.booleans()), max_size=8),
    st.lists(st.tuples(sizes, st.sampled_from(OWNERS)), max_size=4),
    st.integers(0, 20),
)
def test_nobody_is_charged_more_than_he_hides(
    fresh: list[tuple[int, str, bool]], known: list[tuple[int, str]], blurred: int
) -> None:
    """Of the fresh ones some are hidden, the known ones all are, and what drivers gave back blurs the sum."""
    new = [buffer(number, size, owner) for number, (size, owner, _) in enumerate(fresh, 1)]
    old = [buffer(number, size, owner) for number, (size, owner) in enumerate(known, 100)]
    hidden = {one.id for one, (_, _, hides) in zip(new, fresh, strict=True) if hides} | {one.id for one in old}
    everything = new + old
    withheld = sum(one.size for one in everything if one.id in hidden) - blurred

    taken = still_taken(withheld, old, new)

    for owner in OWNERS:
        own = [one for one in everything if one.owner == owner]
        charged = sum(one.size for one in own if one.id in taken)
        hides = sum(one.size for one in own if one.id in hidden)
        largest = max((one.size for one in own), default=0)
        assert charged < hides + largest or charged == hides == 0, "less than one buffer more"
    if not blurred and len({one.owner for one in new}) <= 1:
        assert sum(one.size for one in everything if one.id in taken) >= withheld
