"""An unprivileged client that asks for buffers and reads no reply: this machine's bus goes on, and he pays for what waits unread."""

import pwd
import sys
from pathlib import Path

import people
import pytest
from people import MEMBER

from memd.client import Memd

HOARD = Path(__file__).with_name("hoard.py")
pytestmark = [pytest.mark.needs("heap:system"), pytest.mark.usefixtures("users"), pytest.mark.timeout(120)]


def waiting() -> int:
    """Buffers that were lent to him."""
    member = pwd.getpwnam(MEMBER).pw_uid
    return sum(row["uid"] == member for row in people.buffers())


def test_who_reads_nothing_hangs_nobody_and_pays() -> None:
    """dbus-daemon would stop reading from memd at 64 fds of its that wait, without the limit that the package brings."""
    words = people.words(MEMBER, sys.executable, HOARD, 60)
    with people.started(*words) as one, people.started(*words) as other:
        for hoarder in (one, other):
            people.wait_line(hoarder, "hoarded", 60)
        assert people.eventually(lambda: waiting() > 64)
        with Memd(timeout=20) as memd:
            for _ in range(20):
                memd.allocate("system", 4096).close()
        people.output("pkill", "-u", MEMBER, "-f", HOARD)
        for hoarder in (one, other):
            hoarder.wait(20)
    assert people.eventually(lambda: waiting() == 0)
