"""Pressure stall information of memory. Document: Documentation/accounting/psi.rst; since 4.20, triggers since 5.2.

Facts that bite:
- no /proc/pressure with CONFIG_PSI off, or with CONFIG_PSI_DEFAULT_DISABLED and no `psi=1` on the command line; a cgroup's file
  can answer EOPNOTSUPP instead: both mean that there is no PSI;
- who opens the file without CAP_SYS_RESOURCE gets EINVAL for a window that is no multiple of 2 s (older kernels: EPERM at open),
  and is told up to 2 s late; a root without that capability is nobody here;
- windows are at most 10 s (older kernels: and at least 500 ms), the stall is above 0 and at most the window: else EINVAL; one
  trigger per open file: a second write is EBUSY;
- a trigger tells at most once per window, only that pressure is there, never that it is over;
- poll(2) takes the event away: see epoll.py.
"""

from __future__ import annotations

import errno
import os

from memd.errors import BadKernelFile
from memd.kernel.root import Root
from memd.model import Psi, PsiLine, Trigger

NAME = "proc/pressure/memory"
KEYS = ("avg10", "avg60", "avg300", "total")


def parse(text: str, path: str = NAME) -> Psi:
    """Averages in percent, totals in seconds. BadKernelFile unless `some` is there and every line makes sense; `full` is optional."""
    lines = {words[0]: _line(words[1:], path, text) for words in map(str.split, text.splitlines()) if words}
    if "some" not in lines:
        raise BadKernelFile(path, text)
    return Psi(lines["some"], lines.get("full"))


def _line(words: list[str], path: str, text: str) -> PsiLine:
    values = dict(word.partition("=")[::2] for word in words)
    try:
        avg10, avg60, avg300 = (_percent(values[key]) for key in KEYS[:3])
        return PsiLine(avg10, avg60, avg300, _count(values["total"]) / 1e6)
    except (KeyError, ValueError):
        raise BadKernelFile(path, text) from None


def _percent(word: str) -> float:
    _count(word.replace(".", "", 1))  # digits and one dot: float() takes "nan" and "1e5" too
    return float(word)


def _count(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise ValueError(word)
    return int(word)


def read(root: Root, name: str = NAME) -> Psi | None:
    """The stalls of late, of the machine or of the cgroup whose memory.pressure `name` is; None without PSI."""
    try:
        text = root.read(name)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return None
        raise
    return None if text is None else parse(text, root.path(name))


def open_trigger(root: Root, trigger: Trigger, name: str = NAME) -> int:
    """An fd that has EPOLLPRI once per window while the stall is above the threshold. The caller owns the fd.

    OSError with the file's name: ENOENT without PSI, EINVAL for what the kernel does not take of this process (see above).
    """
    path = root.path(name)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(fd, line(trigger).encode())
    except OSError as error:
        os.close(fd)
        error.filename = path
        raise
    return fd


def line(trigger: Trigger) -> str:
    """What the kernel wants to read: microseconds, and a NUL at the end."""
    return f"{trigger.kind} {round(trigger.stall * 1e6)} {round(trigger.window * 1e6)}\0"
