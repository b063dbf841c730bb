"""The filter, run line for line as the kernel would; the listener itself is tested by tests/cli/test_run.py with real programs."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys

import pytest

from memd.kernel import seccomp

ALLOC = 0xC0184800


def verdict(code: bytes, arch: int, number: int, request: int) -> int:
    """What the filter says of one ioctl."""
    lines = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    at = held = 0
    while True:
        operation, if_true, if_false, value = lines[at]
        if operation == seccomp.RETURN:
            return int(value)
        if operation == seccomp.LOAD:
            held = {seccomp.OFFSET_NR: number, seccomp.OFFSET_ARCH: arch, seccomp.OFFSET_REQUEST: request}[value]
        elif operation == seccomp.AND:
            held &= value
        else:
            at += if_true if held == value else if_false
        at += 1


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_only_the_heaps_ioctl_stops(machine: str) -> None:
    calls = seccomp.MACHINES[machine][1]
    code = seccomp.program(calls)
    for arch, ioctl in calls:
        assert verdict(code, arch, ioctl, ALLOC) == seccomp.NOTIFY
        assert verdict(code, arch, ioctl, ALLOC + (8 << 16)) == seccomp.NOTIFY  # a larger struct
        assert verdict(code, arch, ioctl, ALLOC + 1) == seccomp.ALLOW
        assert verdict(code, arch, ioctl + 1, ALLOC) == seccomp.ALLOW
    numbers = {ioctl for _, ioctl in calls}
    for arch, ioctl in calls:
        assert all(verdict(code, arch, other, ALLOC) == seccomp.ALLOW for other in numbers - {ioctl})


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_other_architectures_pass(machine: str) -> None:
    assert verdict(seccomp.program(seccomp.MACHINES[machine][1]), 0x1234, 16, ALLOC) == seccomp.ALLOW


def test_an_unknown_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Uname:
        machine = "pdp11"

    monkeypatch.setattr(os, "uname", Uname)

    with pytest.raises(OSError, match="pdp11") as caught:
        seccomp.listen()
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.skipif(os.geteuid() != 0, reason="a filter without no_new_privs is root's to set")
def test_nobody_left_ends_the_waiting() -> None:
    """A process of its own: a filter stays for good."""
    code = (
        "import os, socket; from memd.kernel import seccomp; a, b = socket.socketpair()\n"
        "if os.fork() == 0: socket.send_fds(b, [b'x'], [seccomp.listen()]); os._exit(0)\n"
        "listener = socket.recv_fds(a, 1, 1)[1][0]; print(seccomp.receive(listener), seccomp.valid(listener, 5))\n"
        "seccomp.answer(listener, 5); seccomp.pass_on(listener, 5)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)

    assert (done.stdout, done.stderr) == ("None False\n", "")
