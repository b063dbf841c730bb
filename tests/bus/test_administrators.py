"""Who may reload and write off: root, whom polkit lets, and nobody else. The polkitd is real, and sees our actions and a test's rules."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from memd.bus import administrators
from memd.bus.administrators import AUTHORITY, FLAGS, INTERACTIVE, Administrators
from memd.bus.connection import Connection
from memd.bus.dispatch import ACTING
from memd.bus.library import Library
from memd.bus.wire import Received
from memd.errors import AccessDenied, Busy
from memd.model import Caller
from tests.bus.buses import INCLUDE, Bus, dbus_daemon
from tests.bus.daemon import REPOSITORY, Daemon, running
from tests.bus.raw import Raw, until

POLKITD = "/usr/lib/polkit-1/polkitd"
ACTIONS = REPOSITORY / "dbus/org.memd1.policy"
POLICY = f"""<policy context="default">
<allow own="{AUTHORITY[0]}"/><allow send_destination="{AUTHORITY[0]}"/></policy>"""
RULES = """polkit.addRule(function(action, subject) {
    if (action.id == "org.memd1.reload" && subject.user == "nobody") return polkit.Result.YES;
    if (action.id == "org.memd1.write-off" && subject.user == "nobody") return polkit.Result.NO;
});"""


def namespaces() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


with_polkit = pytest.mark.skipif(
    not (os.path.exists(POLKITD) and namespaces()), reason="no polkitd is installed, or root may not mount"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where other users may look."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    for name in ("actions", "rules.d"):
        (tmp_path / name).mkdir()
    shutil.copy(ACTIONS, tmp_path / "actions")
    (tmp_path / "rules.d/50-test.rules").write_text(RULES)
    return tmp_path


@contextlib.contextmanager
def polkit(bus: Bus, place: Path) -> Iterator[None]:
    """On a bus and with directories of its own."""
    shell = 'mount --bind "$1" /usr/share/polkit-1/actions && mount --bind "$2" /etc/polkit-1/rules.d && exec "$3" --no-debug'
    command = ["unshare", "--mount", "sh", "-c", shell, "sh", str(place / "actions"), str(place / "rules.d"), POLKITD]
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with Raw.connect(bus.address) as client:
                assert until(lambda: client.call_bus("NameHasOwner", "s", [AUTHORITY[0]]).body[0], 30)
            yield
        finally:
            process.kill()


@pytest.fixture
def memd(place: Path) -> Iterator[Daemon]:
    with dbus_daemon(place, INCLUDE + POLICY) as bus, running(bus.address, place) as daemon:
        if os.path.exists(POLKITD):
            with polkit(bus, place):
                yield daemon
        else:
            yield daemon


AS_NOBODY = """
import sys
import dbus_next.message, dbus_next._private.unmarshaller
from memd.client import Memd, MemdError
from tests.bus.hoarder import become_nobody
become_nobody()
with Memd(sys.argv[1]) as memd:
    for call in (memd.reload, lambda: memd.write_off(1)):
        try:
            print(call())
        except MemdError as error:
            print(type(error).__name__, error)
"""


def called_as_nobody(memd: Daemon) -> list[str]:
    """What Reload and WriteOff answer."""
    command = [sys.executable, "-c", AS_NOBODY, memd.address]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@with_polkit
def test_whom_polkit_lets(memd: Daemon) -> None:
    reload, write_off = called_as_nobody(memd)

    assert reload.startswith("{'message': 'reloaded'")
    assert write_off == ("AccessDenied WriteOff is for root, and for whom polkit lets (not for org.memd1.write-off)")


@with_polkit
def test_without_a_rule_a_password_is_wanted(place: Path) -> None:
    (place / "rules.d/50-test.rules").write_text("")
    with dbus_daemon(place, INCLUDE + POLICY) as bus, running(bus.address, place) as memd, polkit(bus, place):
        reload, _ = called_as_nobody(memd)
    assert reload.startswith("AccessDenied Reload is for root")
    assert "org.memd1.reload needs a password" in reload


@contextlib.asynccontextmanager
async def asking(bus: Bus, library: Library, uid: int) -> AsyncIterator[Administrators]:
    async def caller(sender: str) -> Caller:
        return Caller(sender, uid, frozenset(), 1, f"uid:{uid}")

    connection = await Connection.connect(bus.address, library=library)
    yield Administrators(connection, caller)
    connection.close()


@contextlib.asynccontextmanager
async def deaf(bus: Bus, library: Library) -> AsyncIterator[list[Received]]:
    """A polkit that hears and does not answer."""
    heard: list[Received] = []
    connection = await Connection.connect(bus.address, heard.append, library=library)
    await connection.call_bus("RequestName", "su", [AUTHORITY[0], 4])
    yield heard
    connection.close()


@pytest.fixture
def polkit_bus(tmp_path: Path) -> Iterator[Bus]:
    with dbus_daemon(tmp_path, INCLUDE + POLICY) as bus:
        yield bus


async def test_root_needs_no_polkit(polkit_bus: Bus, library: Library) -> None:
    async with deaf(polkit_bus, library) as heard, asking(polkit_bus, library, 0) as who:
        await who.require(":1.5", "Reload")
    assert heard == []


async def test_no_polkit_means_root_only(polkit_bus: Bus, library: Library) -> None:
    async with asking(polkit_bus, library, 1000) as who:
        with pytest.raises(AccessDenied, match=r"Reload is for root, and for whom polkit lets \(it does not run here"):
            await who.require(":1.5", "Reload")


async def test_a_deaf_polkit_is_not_waited_for(
    polkit_bus: Bus, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And told that nobody waits any more, so that no dialog stays open."""
    monkeypatch.setattr(administrators, "DEADLINE", 0.05)
    async with deaf(polkit_bus, library) as heard, asking(polkit_bus, library, 1000) as who:
        with pytest.raises(AccessDenied, match="did not answer in time"):
            await who.require(":1.5", "WriteOff")
    assert [call.member for call in heard] == ["CheckAuthorization", "CancelCheckAuthorization"]


async def test_few_are_asked_about_at_once(polkit_bus: Bus, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administrators, "DEADLINE", 0.2)
    async with deaf(polkit_bus, library) as heard, asking(polkit_bus, library, 1000) as who:
        asked = [asyncio.create_task(who.require(":1.5", "Reload")) for _ in range(administrators.MOST)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="ask again"):
            await who.require(":1.6", "Reload")
        await asyncio.gather(*asked, return_exceptions=True)
    assert sum(call.member == "CheckAuthorization" for call in heard) == administrators.MOST


@pytest.mark.parametrize(("flags", "wanted"), [(0, 0), (INTERACTIVE, 1), (INTERACTIVE | 1, 1)])
async def test_a_password_is_asked_for_where_the_caller_allows_it(
    polkit_bus: Bus, library: Library, flags: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administrators, "DEADLINE", 0.05)
    monkeypatch.setattr(administrators, "PATIENCE", 0.05)
    FLAGS.set(flags)
    async with deaf(polkit_bus, library) as heard, asking(polkit_bus, library, 1000) as who:
        with pytest.raises(AccessDenied):
            await who.require(":1.7", "Set")
        subject, action, _, told, _ = library.unmarshal(heard[0].signature, heard[0].body, heard[0].endian)
    assert (subject[0], subject[1]["name"].value, action, told) == (
        "system-bus-name",
        ":1.7",
        "org.memd1.set-zram",
        wanted,
    )


def test_each_action_is_shipped() -> None:
    assert set(re.findall(r'action id="([^"]+)"', ACTIONS.read_text())) == set(administrators.ACTIONS.values())


def test_each_method_that_changes_something_has_an_action() -> None:
    assert {method for _, method in ACTING} == administrators.ACTIONS.keys()
