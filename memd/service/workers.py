"""One thread for each area: the kernel has one lock per CMA area, and a slow request must delay no other heap's.

Owners take turns: one who queues a thousand requests delays another by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from memd.errors import Busy


class Job(Protocol):
    """`work` runs in the thread; then exactly one of `finish` and `fail` on the loop. A job no longer `wanted` fails unrun."""

    @property
    def owner(self) -> str: ...

    @property
    def wanted(self) -> bool: ...

    def work(self) -> list[int]: ...

    def finish(self, fds: list[int]) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Worker:
    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"memd-{name}")
        self._waiting: dict[str, deque[Job]] = {}
        self._running: asyncio.Future[list[int]] | None = None

    def submit(self, job: Job) -> None:
        self._waiting.setdefault(job.owner, deque()).append(job)
        self._next()

    def withdraw(self, job: Job) -> None:
        """Its caller is gone: if it still waits, it fails at once, and else when the kernel is done with it."""
        queue = self._waiting.get(job.owner, deque())
        if job in queue:
            queue.remove(job)
            if not queue:
                del self._waiting[job.owner]
            job.fail(Busy("nobody waits for it"))

    async def close(self) -> None:
        """What waits fails; what runs is waited for, since the kernel can't be called off."""
        waiting, self._waiting = self._waiting, {}
        for job in (job for queue in waiting.values() for job in queue):
            job.fail(Busy("memd is ending"))
        if self._running:
            await asyncio.wait({self._running})
        self._thread.shutdown()

    def _next(self) -> None:
        while self._running is None and (job := self._take()):
            if job.wanted:
                self._run(job)
            else:
                job.fail(Busy("nobody waits for it"))

    def _take(self) -> Job | None:
        """The first job of the owner whose turn it is; the owner goes to the end."""
        for owner, queue in self._waiting.items():
            job = queue.popleft()
            del self._waiting[owner]
            if queue:
                self._waiting[owner] = queue
            return job
        return None

    def _run(self, job: Job) -> None:
        self._running = asyncio.get_running_loop().run_in_executor(self._thread, job.work)
        self._running.add_done_callback(lambda future: self._done(job, future))

    def _done(self, job: Job, future: asyncio.Future[list[int]]) -> None:
        self._running = None
        error = future.exception()
        if error is None:
            job.finish(future.result())
        else:
            job.fail(error)
        self._next()
