"""`make bench-vm`: each file bench_PART.py here measures one thing beside what it is compared with, in this machine, and gives its rows to
`row`; the host makes one table of all of them.

A part is a pytest function `bench_WHAT` with the fixture `row`. Debian's packages that do parts of memd's work are installed, and masked:
`peers.running` starts one of them. It may take minutes: nobody waits for a result for less than 15.
"""

import statistics
from collections.abc import Callable, Sequence

import pytest
import reporter

# what, against; ours and theirs measured in turn, one of each a round
Row = Callable[[str, str, Sequence[float], Sequence[float]], None]


@pytest.fixture
def row() -> Row:
    """`row(what, against, ours, theirs)`: a row of the table, the ratio of the two round by round; `theirs` empty: ours as it is, in the
    unit that `against` names."""
    return tell


def tell(what: str, against: str, ours: Sequence[float], theirs: Sequence[float] = ()) -> None:
    """Median, and the quarter and three quarters of the rounds."""
    values = sorted(one / other for one, other in zip(ours, theirs, strict=True)) if theirs else sorted(ours)
    quarters = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    reporter.send(
        row={
            "what": what,
            "against": against,
            "values": [round(value, 4) for value in (quarters[1], quarters[0], quarters[2])],
        }
    )
