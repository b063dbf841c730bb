"""Long work that somebody started and may cancel: org.memd1.Job. Who started it may have gone; the last few that ended stay to be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from memd.errors import Busy, MemdError, NoSuchDevice

KEPT = 16  # jobs that have ended
MOST = 8  # at once
RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"


class Cancelled(MemdError):
    """Work that was asked to stop, and has; the message says how things are."""


@dataclass(slots=True)
class Job:
    """`progress` 0..1; `message`: what was done, or why not, "" while it runs; `device`: what it works on."""

    number: int
    device: str
    state: str = RUNNING
    progress: float = 0.0
    message: str = ""
    stop: Callable[[], None] = field(default=lambda: None, repr=False)


class Jobs:
    """`changed(job)` is called when a job begins and when it ends."""

    def __init__(self, changed: Callable[[Job], None] = lambda _job: None) -> None:
        self.changed = changed
        self.jobs: dict[int, Job] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._last = 0

    def start(self, device: str, work: Callable[[Job], Awaitable[str]]) -> Job:
        """`work(job)` gives the message of the end, sets `progress`, and sets `stop` if it can be cancelled. Busy: one for each device."""
        running = [job for job in self.jobs.values() if job.state == RUNNING]
        if any(job.device == device for job in running):
            raise Busy(f"{device} is being changed already; wait for that job, or cancel it")
        if len(running) >= MOST:
            raise Busy(f"{MOST} jobs are running; wait for one to end")
        self._last += 1
        job = self.jobs[self._last] = Job(self._last, device)
        self._tasks[job.number] = asyncio.create_task(self._run(job, work))
        self.changed(job)
        return job

    def cancel(self, number: int) -> None:
        """Asks; the job's state tells when it has stopped. One that has ended stays as it is."""
        job = self.jobs.get(number)
        if job is None:
            raise NoSuchDevice(f"there is no job {number}")
        if job.state == RUNNING:
            job.stop()

    async def wait(self, number: int) -> None:
        """Until it has ended."""
        if number in self._tasks:
            await asyncio.wait({self._tasks[number]})

    async def close(self) -> None:
        """What runs in processes of their own goes on without us."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job, work: Callable[[Job], Awaitable[str]]) -> None:
        try:
            job.message = await work(job)
            job.state, job.progress = DONE, 1.0
        except Cancelled as error:
            job.state, job.message = CANCELLED, str(error)
        except (MemdError, OSError) as error:
            job.state, job.message = FAILED, str(error)
        finally:
            del self._tasks[job.number]
        self._forget()
        self.changed(job)

    def _forget(self) -> None:
        ended = [number for number, job in self.jobs.items() if job.state != RUNNING]
        for number in ended[:-KEPT]:
            del self.jobs[number]
