"""The dbusmock template: memd's own client library takes it for a memd, and it says nothing that the XML does not have."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from memd.bus import contract
from memd.client import Memd, NoSuchHeap, PressureTooHigh, Unreachable
from memd.names import MANAGER
from tests.bus.buses import dbus_daemon
from tests.bus.raw import until

TEMPLATE = Path(__file__).parents[2] / "packaging/dbusmock/memd.py"
CONTROL = ["-d", "org.memd1", "-o", "/org/memd1", "-m"]
LENIENT = '<policy context="default"><allow own="*"/><allow send_type="method_call"/></policy>'


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A mock on a private bus; Debian's own Python, which has python3-dbusmock."""
    with dbus_daemon(tmp_path, LENIENT) as bus:
        command = ["/usr/bin/python3", "-m", "dbusmock", "--system", "--template", str(TEMPLATE)]
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus.address}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            assert until(lambda: process.poll() is not None or there(bus.address))
            yield bus.address
        finally:
            process.kill()
            _, told = process.communicate()
            print(told)


def there(address: str) -> bool:
    try:
        with Memd(address) as memd:
            return bool(memd.status())
    except Unreachable:
        return False


def control(address: str, method: str, *words: str) -> None:
    command = ["gdbus", "call", "--address", address, *CONTROL, f"org.freedesktop.DBus.Mock.{method}", *words]
    subprocess.run(command, check=True, capture_output=True)


def test_buffers(address: str) -> None:
    with Memd(address) as memd, memd.allocate("any", 5000, "mine") as buffer, buffer.mmap() as memory:
        memory[:5] = b"hello"

        assert (buffer.heap, buffer.size) == ("system", 8192)
        many = memd.allocate_many("system", [4096, 1])
        assert [one.size for one in many] == [4096, 4096]
        for one in many:
            one.close()
        assert memd.can_allocate("system", 4096)[0]
        with pytest.raises(NoSuchHeap):
            memd.allocate("nowhere", 4096)


def test_refusals(address: str) -> None:
    control(address, "Refuse", "org.memd1.Error.PressureTooHigh", "no")
    with Memd(address) as memd:
        with pytest.raises(PressureTooHigh, match="no"):
            memd.allocate("system", 4096)
        assert not memd.can_allocate("system", 4096)[0]
        control(address, "Refuse", "", "")
        memd.allocate("system", 4096).close()


def test_pressure(address: str) -> None:
    with Memd(address) as memd:
        changes = memd.pressure()
        assert next(changes)[0] == "none"
        control(address, "EmitPressure", "critical")
        assert next(changes)[0] == "critical"


def test_it_is_no_more_than_the_interface() -> None:
    said = re.findall(
        r'method\(MAIN_IFACE, in_signature="(\S*)", out_signature="(\S*)"\)\ndef (\w+)', TEMPLATE.read_text()
    )
    known = contract.read().interfaces[MANAGER].methods

    assert said
    assert [(known[name].signature, known[name].reply) for _, _, name in said] == [(one, two) for one, two, _ in said]
