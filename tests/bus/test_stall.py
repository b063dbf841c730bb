"""An unprivileged client that does not read what it asked for: it hangs nobody else, and pays for what waits.

dbus-daemon stops reading from a sender when 64 of its fds wait unread, so the bus policy that memd ships raises that limit
(max_incoming_unix_fds), and not the other one (max_outgoing_unix_fds), with which the bus itself could be filled. Both attacks are also
tried where they work, so that a bus that no longer needs the limit is noticed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bus.buses import BUSES, Bus, dbus_daemon
from tests.bus.daemon import REPOSITORY, Daemon, call, running
from tests.bus.hoarder import NOBODY
from tests.bus.raw import Raw, until
from tests.swapsettings import KEEP

SHIPPED = (REPOSITORY / "dbus/org.memd1.conf").read_text()
BOTH = SHIPPED.replace("</busconfig>", '<limit name="max_outgoing_unix_fds">4096</limit></busconfig>')
NEITHER = re.sub(r"<limit .*</limit>", "", SHIPPED)
LENDING = f"""
[Zram]
Enabled=no
{KEEP}[Allow everybody]
Everyone=yes
Heaps=simulated
MaxBuffers={{buffers}}
ExemptFromPressure=yes
Priority=1
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@contextlib.contextmanager
def lending(bus: Bus, directory: Path, buffers: int = 1000) -> Iterator[Daemon]:
    with running(bus.address, directory, config=LENDING.format(buffers=buffers)) as memd:
        yield memd


@contextlib.contextmanager
def hoarder(what: str, address: str, count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bus.hoarder", what, address, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout
        assert process.stdout.readline() == b"2\n"
        yield


@contextlib.contextmanager
def daemon_with(policy: str, directory: Path) -> Iterator[Bus]:
    (directory / "policy.conf").write_text(policy)
    with dbus_daemon(directory, f"<include>{directory / 'policy.conf'}</include>") as bus:
        yield bus


def kept_by(client: Raw) -> int:
    """Buffers that are charged to the hoarder."""
    reply = call(client, "ListBuffers", "a{sv}", {"owner": client.library.Variant("s", f"uid:{NOBODY}")})
    return len(reply.body[0])


def answered(client: Raw) -> bool:
    with contextlib.suppress(TimeoutError):
        return call(client, "GetStatus").error_name == ""
    return False


@pytest.fixture
def open_place(tmp_path: Path) -> Path:
    """Where another user may reach the bus."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("kind", sorted(BUSES))
def test_unread_replies_hang_nobody_and_are_paid_for(kind: str, open_place: Path) -> None:
    with BUSES[kind](open_place) as bus, lending(bus, open_place, buffers=90) as memd, memd.client() as client:
        call(client, "Allocate", "sta{sv}", "simulated", 4096, {}).close()
        before = memd.fds()
        with hoarder("unread", bus.address, 60):  # of each of two connections
            assert until(lambda: kept_by(client) == 90)
            reply = call(client, "Allocate", "sta{sv}", "simulated", 4096, {})
            assert reply.error_name == "", reply
            reply.close()
        assert until(lambda: kept_by(client) == 0)
        assert memd.settles_at(before)


def test_without_the_limit_everybody_hangs(open_place: Path) -> None:
    with daemon_with(NEITHER, open_place) as bus, lending(bus, open_place) as memd, memd.client() as client:
        with hoarder("unread", bus.address, 100):
            client.sock.settimeout(1)
            assert until(lambda: not answered(client))
        client.sock.settimeout(60)


@pytest.mark.parametrize(("policy", "least", "most"), [(SHIPPED, 64, 128), (BOTH, 3000, 5000)])
def test_fds_that_one_user_can_pin_in_the_bus(open_place: Path, policy: str, least: int, most: int) -> None:
    """Without memd, from one of his connections to the other. The second policy is the one that memd must not ship."""
    with daemon_with(policy, open_place) as bus, lending(bus, open_place) as memd:
        before = len(os.listdir(f"/proc/{bus.process.pid}/fd"))
        with hoarder("pinned", bus.address, 20_000), memd.client() as client:
            assert call(client, "GetStatus").error_name == ""
            pinned = len(os.listdir(f"/proc/{bus.process.pid}/fd")) - before
    assert least <= pinned <= most


def test_pinning_through_dbus_broker(open_place: Path) -> None:
    with (
        BUSES["broker"](open_place) as bus,
        lending(bus, open_place) as memd,
        hoarder("pinned", bus.address, 20_000),
        memd.client() as client,
    ):
        reply = call(client, "Allocate", "sta{sv}", "simulated", 4096, {})
        assert reply.error_name == "", reply
        reply.close()


def test_memd_ships_one_limit_and_not_the_other() -> None:
    limits = re.findall(r'<limit name="(\w+)">(\d+)</limit>', SHIPPED)

    assert limits == [("max_incoming_unix_fds", "4096")]
