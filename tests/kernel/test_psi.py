"""memd.kernel.psi: a machine with PSI, without it, with nonsense in it; what a trigger writes."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from memd.errors import BadKernelFile
from memd.kernel import psi
from memd.kernel.root import Root
from memd.model import Level, Psi, PsiLine, Trigger

Put = Callable[[str, str | bytes], None]
GOOD = """some avg10=12.34 avg60=5.60 avg300=0.00 total=1500000
full avg10=1.00 avg60=0.50 avg300=100.00 total=250000
"""
LOW = Trigger("some", 0.15, 1.0, Level.LOW)


def test_good(root: Root, put: Put) -> None:
    put(psi.NAME, GOOD)

    assert psi.read(root) == Psi(PsiLine(12.34, 5.6, 0.0, 1.5), PsiLine(1.0, 0.5, 100.0, 0.25))


def test_some_alone_is_good() -> None:
    assert psi.parse(GOOD.splitlines()[0]) == Psi(PsiLine(12.34, 5.6, 0.0, 1.5), None)


def test_missing(root: Root) -> None:
    assert psi.read(root) is None


def test_a_file_that_answers_not_supported_is_no_psi() -> None:
    class SwitchedOff(Root):
        def read(self, name: str) -> str | None:
            raise OSError(errno.EOPNOTSUPP, "not supported", self.path(name))

    class Forbidden(Root):
        def read(self, name: str) -> str | None:
            raise OSError(errno.EACCES, "forbidden", self.path(name))

    assert psi.read(SwitchedOff()) is None
    with pytest.raises(PermissionError):
        psi.read(Forbidden())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "some",
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0",
        "some avg10=0.00 avg60=0.00 total=0",
        "some avg10=nan avg60=0.00 avg300=0.00 total=0",
        "some avg10=-1.00 avg60=0.00 avg300=0.00 total=0",
        "some avg10=1.0.0 avg60=0.00 avg300=0.00 total=0",
        "some avg10= avg60=0.00 avg300=0.00 total=0",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1e3",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=٣",
    ],
)
def test_garbage(root: Root, put: Put, text: str) -> None:
    put(psi.NAME, text)

    with pytest.raises(BadKernelFile) as caught:
        psi.read(root)
    assert caught.value.path == root.path(psi.NAME)


@pytest.mark.parametrize(
    ("trigger", "line"),
    [
        (LOW, "some 150000 1000000\0"),
        (Trigger("full", 0.1, 2.0, Level.CRITICAL), "full 100000 2000000\0"),
        (Trigger("some", 0.07, 0.5, Level.LOW), "some 70000 500000\0"),
    ],
)
def test_line(trigger: Trigger, line: str) -> None:
    assert psi.line(trigger) == line


def test_trigger_without_psi(root: Root) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        psi.open_trigger(root, LOW)

    assert caught.value.filename == root.path(psi.NAME)
    assert not root.exists(psi.NAME)


def test_trigger_that_cannot_be_written_names_the_file() -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  the number is checked below
        psi.open_trigger(Root(), LOW, "dev/full")

    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == "/dev/full"
