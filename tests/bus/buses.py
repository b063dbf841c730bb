"""Private buses: dbus-daemon with limits of a system bus, and dbus-broker, driven as its launcher would (which itself wants a journal)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bus.raw import Raw, authenticate

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:path={path}</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  {policy}
</busconfig>
"""
# The policy that memd ships lets root alone be org.memd1; others who run the tests need one that lets them.
OPEN = '<policy context="default"><allow own="org.memd1"/><allow send_destination="org.memd1"/></policy>'
INCLUDE = f"<include>{Path(__file__).parents[2] / 'dbus' / 'org.memd1.conf'}</include>" if os.geteuid() == 0 else OPEN

# What dbus-broker's launcher compiles bus policies to: one batch for every uid that lets everything through.
_XMIT = [[True, 1, "", "", "", "", 0, 0, 0, (1 << 64) - 1]]
_ALLOW = [True, 1, [[True, 1, True, ""]], _XMIT, _XMIT]
_BATCH = "bta(btbs)a(btssssuutt)a(btssssuutt)"


@dataclass(frozen=True)
class Bus:
    """A bus that runs. `kind` is `daemon` or `broker`."""

    kind: str
    address: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def dbus_daemon(directory: Path, policy: str = INCLUDE) -> Iterator[Bus]:
    """Debian's system bus in small: its policy, and the limits that dbus-daemon has built in for a system bus."""
    config = directory / "bus.conf"
    config.write_text(CONFIG.format(path=directory / "bus", policy=policy))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with _ended(process):
        assert process.stdout
        address = process.stdout.readline().decode().strip()
        assert address, "dbus-daemon did not start"
        yield Bus("daemon", address, process)


@contextlib.contextmanager
def dbus_broker(directory: Path) -> Iterator[Bus]:
    ours, theirs = socket.socketpair()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / "bus"))
    os.chmod(directory / "bus", 0o666)
    listener.listen(128)
    listener.setblocking(False)  # the broker accepts until it is told to try again
    command = ["dbus-broker", "--controller", str(theirs.fileno()), "--machine-id", "0123456789abcdef" * 2]
    process = subprocess.Popen([*command, *_LIMITS], pass_fds=[theirs.fileno()])
    theirs.close()
    with _ended(process), ours, listener:
        authenticate(ours)
        _listen(Raw(ours), listener)
        yield Bus("broker", f"unix:path={directory / 'bus'}", process)


# The launcher's own.
_LIMITS = ["--max-bytes", str(512 << 20), "--max-fds", "4096", "--max-matches", "16384", "--max-objects", "16384"]


def _listen(controller: Raw, listener: socket.socket) -> None:
    """AddListener on the controller's socket, as of versions 33 to 37."""
    signature = f"(a(u({_BATCH}))a(buu({_BATCH}))a(ss)bs)"
    policy = [[[0xFFFFFFFF, _ALLOW]], [], [], False, ""]
    body = ["/org/bus1/DBus/Listener/0", 0, controller.library.Variant(signature, policy)]
    reply = controller.call(
        None, "/org/bus1/DBus/Broker", "org.bus1.DBus.Broker", "AddListener", "ohv", body, fds=[listener.fileno()]
    )
    assert reply.error_name == "", reply


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


BUSES = {"daemon": dbus_daemon, "broker": dbus_broker}
