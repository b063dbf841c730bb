"""A memd that an administrator disabled stays off: no call on the bus starts it. systemd and each bus have their own part in that."""

import people
from people import output, swap


def state() -> str:
    return output("systemctl", "show", "-P", "ActiveState", "memd.service").strip()


def test_a_disabled_memd_is_not_started_by_a_call() -> None:
    before = swap()[:3]
    try:
        output("systemctl", "disable", "--now", "memd.service")
        assert people.ping().returncode != 0
        assert state() == "inactive"
        assert swap()[:3] == before
        output("systemctl", "enable", "memd.service")
        assert people.ping().returncode == 0  # and an enabled one is
    finally:
        output("systemctl", "start", "memd.service")
    assert state() == "active"
