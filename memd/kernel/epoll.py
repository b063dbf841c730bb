"""One fd whose EPOLLPRI an asyncio loop can wait for. Document: epoll(7); source: fs/eventpoll.c, kernel/sched/psi.c.

Facts that bite:
- asyncio watches for EPOLLIN and EPOLLOUT only; an epoll fd with the real fd in it is readable when that one has EPOLLPRI;
- a PSI trigger's poll() takes its event away, and the loop's own epoll_wait asks the inner epoll, which asks the trigger: so the
  inner epoll_wait finds nothing any more (seen on 6.18). That the loop woke up is the event. With two triggers in one inner epoll it
  would be lost which of them spoke: one epoll for each;
- edge-triggered, so that a source which stays ready (an error, which only closing ends) wakes the loop once.
"""

from __future__ import annotations

import os
import select


class Urgent:
    """Owns `fd` from the first moment, and closes it with itself."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._epoll = select.epoll()
        try:
            self._epoll.register(fd, select.EPOLLPRI | select.EPOLLET)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """Readable once per event; call `take` then."""
        return self._epoll.fileno()

    def take(self) -> bool:
        """True for an event, False if the source is gone (its cgroup was removed) and tells nothing any more."""
        return not any(events & (select.EPOLLERR | select.EPOLLHUP) for _, events in self._epoll.poll(0))

    def close(self) -> None:
        self._epoll.close()
        os.close(self._fd)
