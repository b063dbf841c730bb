"""From everything that is asked for to the kernel's own algorithm: less and less, and never nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memd.early import ZramSettings, ZramStat
from memd.policy.zramalgorithm import name, parse
from memd.policy.zramattempts import Attempt, attempts

OFFERED = ("lzo-rle", "lzo", "lz4", "zstd")
STAT = ZramStat(name="zram0", disksize=0, initstate=False, algorithm="lzo-rle", algorithms=OFFERED)


def test_as_asked_for_and_then_less() -> None:
    found, notes = attempts(ZramSettings(algorithms=("zstd(level=3)",), recompress=("zstd(level=9)",)), STAT)

    assert notes == ()
    assert found == (
        Attempt(algorithm="zstd(level=3)", recompress=("zstd(level=9)",)),
        Attempt(algorithm="zstd", recompress=("zstd",)),
        Attempt(algorithm="zstd"),
        Attempt(algorithm="lzo-rle", recompress=("zstd(level=9)",)),
        Attempt(algorithm="lzo-rle", recompress=("zstd",)),
        Attempt(algorithm="lzo-rle"),
    )


def test_plain_is_tried_once() -> None:
    found, _ = attempts(ZramSettings(algorithms=("lz4", "lzo-rle")), STAT)

    assert found == (Attempt(algorithm="lz4"), Attempt(algorithm="lzo-rle"))


def test_what_is_not_offered_is_told() -> None:
    found, notes = attempts(ZramSettings(algorithms=("842",), recompress=("842",)), STAT)

    assert found == (Attempt(algorithm="lzo-rle"),)
    assert "842; it is no secondary" in notes[0]
    assert "none of 842" in notes[1]


ALGORITHMS = st.lists(st.sampled_from([*OFFERED, "842", "zstd(level=3)", "lz4(dict=/d)"]), max_size=4).map(tuple)


@given(ALGORITHMS, ALGORITHMS)
def test_the_last_is_always_plain_and_offered(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    found, _ = attempts(ZramSettings(algorithms=first, recompress=second), STAT)

    assert len(set(found)) == len(found)
    assert found[-1].algorithm in OFFERED
    assert found[-1].recompress == ()
    assert {name(each) for attempt in found for each in (attempt.algorithm, *attempt.recompress)} <= set(OFFERED)


@given(st.text(alphabet="zstd()=,level dict/-_3\n", max_size=30))
def test_a_list_is_parsed_or_refused_and_its_form_is_stable(text: str) -> None:
    from memd.errors import MemdError

    try:
        found = parse(text)
    except MemdError:
        return
    assert parse(" ".join(found)) == found
