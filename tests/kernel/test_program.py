"""memd.kernel.program: status and words come through, and nothing hangs or leaks."""

from __future__ import annotations

import pytest

from memd.errors import NotSupported
from memd.kernel import program


def test_status_and_both_streams() -> None:
    assert program.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], 5) == (3, "out\nerr\n")


def test_the_environment_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMD_SECRET", "x")

    assert program.run(["/bin/sh", "-c", 'test -z "$MEMD_SECRET" && echo $LC_ALL'], 5) == (0, "C\n")


def test_one_that_hangs_is_killed() -> None:
    assert program.run(["/bin/sleep", "1000"], 0.05) == (137, "")


def test_more_words_than_anybody_reads_are_cut() -> None:
    status, said = program.run(["/bin/sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"], 5)

    assert (status, len(said)) == (0, program.MOST)
    assert len(program.one_line(said)) == 400


def test_what_is_not_there() -> None:
    assert program.find("sh") in {"/usr/bin/sh", "/bin/sh"}
    with pytest.raises(NotSupported, match="no such-a-program on this machine"):
        program.find("such-a-program")
