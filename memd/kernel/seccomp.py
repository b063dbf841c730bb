"""Programs' own DMA_HEAP_IOCTL_ALLOC, stopped and answered from outside: seccomp(2) user notifications.

ABI: seccomp(2), seccomp_unotify(2), include/uapi/linux/seccomp.h; user notifications 5.0, ADDFD and the hang-up of a listener that
nobody is filtered by any more 5.9, WAIT_KILLABLE_RECV 5.19. The ioctl: include/uapi/linux/dma-heap.h.
Facts that bite:
- The filter sees numbers and no memory: ioctl(any fd, type 'H', number 0) stops, whatever the fd is. The size in the number is not looked
  at: the kernel takes a larger struct of a later header too. x32 programs pass by unseen.
- A second listener in one chain of filters is EBUSY.
- A notification dies with its task, and with a signal unless WAIT_KILLABLE_RECV: then ADDFD and SEND say ENOENT, and the restarted call
  is a new notification. A pid may have been reused until `valid` has said otherwise, after the file that it named was opened.
- Without a listener that is open the call fails with ENOSYS.
- Before 5.16 a filter turns on the processor's slow mitigation of speculative stores for the whole program, unless SPEC_ALLOW (4.17) says
  that the program is not to be guarded from itself.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct
from dataclasses import dataclass

RECV, SEND, ID_VALID, ADDFD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
SET_MODE_FILTER = 1
SPEC_ALLOW, NEW_LISTENER, WAIT_KILLABLE_RECV = 1 << 2, 1 << 3, 1 << 5
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000  # SECCOMP_RET_*
HEAP_ALLOC = 0x4800  # type 'H', number 0
NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif with its seccomp_data
LOAD, AND, JUMP_IF, RETURN = 0x20, 0x54, 0x15, 0x06  # BPF: ld [k]; and k; jeq k; ret k
OFFSET_NR, OFFSET_ARCH, OFFSET_REQUEST = 0, 4, 24  # in seccomp_data; the request is the second argument's low half

# Machine -> its number of seccomp(2), and (AUDIT_ARCH_*, number of ioctl(2)) for itself and its 32-bit sister.
MACHINES = {
    "x86_64": (317, ((0xC000003E, 16), (0x40000003, 54))),
    "aarch64": (277, ((0xC00000B7, 29), (0x40000028, 54))),
    "armv7l": (383, ((0x40000028, 54),)),
    "riscv64": (277, ((0xC00000F3, 29),)),
}


@dataclass(frozen=True, slots=True)
class Notification:
    """One stopped call. `pid`: the thread; `fd`, `request`, `address`: ioctl's arguments."""

    id: int
    pid: int
    fd: int
    request: int
    address: int


def program(calls: tuple[tuple[int, int], ...]) -> bytes:
    """The filter as struct sock_filter[]: what `calls` name goes to the listener if it is the heaps' ioctl, all else passes."""
    lines = [(LOAD, 0, 0, OFFSET_ARCH)]
    count = len(calls)
    for index, (arch, _) in enumerate(
        calls
    ):  # each hit jumps over the rest, the ALLOW, and two lines for each earlier one
        lines.append((JUMP_IF, count + index, 0, arch))
    lines.append((RETURN, 0, 0, ALLOW))
    for index, (_, number) in enumerate(calls):
        after = 2 * (count - index - 1)  # what is left of these pairs
        lines += [(LOAD, 0, 0, OFFSET_NR), (JUMP_IF, after, after + 3, number)]
    lines += [(LOAD, 0, 0, OFFSET_REQUEST), (AND, 0, 0, 0xFFFF), (JUMP_IF, 1, 0, HEAP_ALLOC)]
    lines += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, NOTIFY)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def listen() -> int:
    """Filter this process, and all that it becomes and starts. The caller owns the listener's fd, which has CLOEXEC.

    Needs CAP_SYS_ADMIN in the process's user namespace. OSError: EBUSY where a listener is there already, ENOSYS on other machines
    than MACHINES and on kernels without seccomp.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"system call numbers of {machine} are not known")
    number, calls = MACHINES[machine]
    code = program(calls)
    chain = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (NEW_LISTENER | WAIT_KILLABLE_RECV, NEW_LISTENER):
        fd: int = libc.syscall(number, SET_MODE_FILTER, flags | SPEC_ALLOW, ctypes.byref(chain))
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EINVAL:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def receive(listener: int) -> Notification | None:
    """Wait for the next stopped call; None when nobody is left who could make one."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    while True:
        ((_, events),) = waiting.poll()
        if not events & select.POLLIN:
            return None
        buffer = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, RECV, buffer)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):  # it died in between
                raise
        else:
            number, pid, _, _, _, _, fd, request, address, *_ = NOTIFICATION.unpack(buffer)
            return Notification(number, pid, fd & 0xFFFFFFFF, request & 0xFFFFFFFF, address)


def valid(listener: int, number: int) -> bool:
    """Whether the stopped task still waits: until then its pid is its own."""
    try:
        fcntl.ioctl(listener, ID_VALID, struct.pack("=Q", number))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True


def give_fd(listener: int, number: int, fd: int, flags: int) -> int:
    """A copy of `fd` in the stopped process, which owns it: its number there. `flags`: 0 or O_CLOEXEC. OSError: ENOENT gone, EMFILE."""
    return int(fcntl.ioctl(listener, ADDFD, bytearray(struct.pack("=QIIII", number, 0, fd, 0, flags))))


def answer(listener: int, number: int, error: int = 0) -> None:
    """The stopped call returns 0, or -1 with errno `error`. No error if it has gone."""
    _send(listener, struct.pack("=QqiI", number, 0, -error, 0))


def pass_on(listener: int, number: int) -> None:
    """The kernel is to do the stopped call itself."""
    _send(listener, struct.pack("=QqiI", number, 0, 0, CONTINUE))


def _send(listener: int, reply: bytes) -> None:
    try:
        fcntl.ioctl(listener, SEND, reply)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
