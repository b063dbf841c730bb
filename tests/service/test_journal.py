"""Journal where no journal listens: standard error, bounded, silent about its own troubles. The real one is in tests/host."""

from __future__ import annotations

import errno
import io
import threading

import pytest

from memd.kernel.root import Root
from memd.model import Event
from memd.service import journal
from memd.service.journal import Journal

EVENT = Event("a\nb", "ff" * 16, 4, {"MEMD_SIZE": 5, "MEMD_SHARE": 0.5, "MEMD_NAME": "x\udcff"})


def test_one_line_on_standard_error(root: Root, capfd: pytest.CaptureFixture[str]) -> None:
    tell = Journal(root)
    tell(EVENT)
    tell(Event("second", "00" * 16, 6, {}))
    tell.close()

    assert capfd.readouterr().err == "memd: a?b\nmemd: second\n"


def test_closing_twice_or_unused_is_fine(root: Root) -> None:
    tell = Journal(root)
    tell.close()
    tell.close()


def test_an_entry() -> None:
    assert journal.entry(EVENT, lost=3) == [
        b"MESSAGE=a\nb",
        b"MESSAGE_ID=" + b"ff" * 16,
        b"PRIORITY=4",
        b"SYSLOG_IDENTIFIER=memd",
        b"MEMD_SIZE=5",
        b"MEMD_SHARE=0.5",
        b"MEMD_NAME=x\\udcff",
        b"MEMD_LOST=3",
    ]


def test_a_journal_that_takes_nothing_stops_nobody(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, int]] = []
    let_go = threading.Event()

    def stuck(self: Journal, event: Event, lost: int) -> None:
        let_go.wait(10)
        sent.append((event.message, lost))

    monkeypatch.setattr(Journal, "_send", stuck)
    monkeypatch.setattr(journal, "MOST_WAITING", 2)
    tell = Journal(root)
    for number in range(10):
        tell(Event(str(number), "", 6, {}))
    let_go.set()
    tell.close()

    told = len(sent)
    assert 2 <= told <= 3, "those waiting, and the one that was stuck"
    assert sum(lost for _, lost in sent) == 10 - told


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "no space left")


def closed() -> io.StringIO:
    file = io.StringIO()
    file.close()
    return file


@pytest.mark.parametrize("file", [Full(), closed()], ids=["full", "closed"])
def test_a_broken_standard_error_is_no_trouble(
    root: Root, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], file: io.StringIO
) -> None:
    tell = Journal(root)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", file)
        tell(EVENT)
        tell.close()
    tell(EVENT)
    tell.close()

    assert capfd.readouterr().err == "memd: a?b\n"
