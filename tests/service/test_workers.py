"""Workers: one thread for an area, owners in turns, and every job ends exactly once."""

from __future__ import annotations

import asyncio
import threading

from memd.service.workers import Worker


class Job:
    def __init__(self, owner: str, log: list[str], gate: threading.Event | None = None) -> None:
        self.owner, self.wanted = owner, True
        self._log, self._gate = log, gate
        self.ends: list[str] = []
        self.ended = asyncio.Event()

    def work(self) -> list[int]:
        if self._gate:
            self._gate.wait()
        self._log.append(self.owner)
        if self.owner == "bad":
            raise OSError(12, "no memory")
        return []

    def finish(self, fds: list[int]) -> None:
        self.ends.append("finished")
        self.ended.set()

    def fail(self, error: BaseException) -> None:
        self.ends.append(type(error).__name__)
        self.ended.set()


async def test_owners_take_turns() -> None:
    worker, log, gate = Worker("system"), list[str](), threading.Event()
    first = Job("a", log, gate)
    jobs = [Job("a", log) for _ in range(3)] + [Job("b", log), Job("c", log), Job("b", log)]
    for job in (first, *jobs):
        worker.submit(job)
    gate.set()
    for job in (first, *jobs):
        await job.ended.wait()

    assert log == ["a", "a", "b", "c", "a", "b", "a"]
    assert all(job.ends == ["finished"] for job in (first, *jobs))
    await worker.close()


async def test_an_error_ends_its_job_only() -> None:
    worker, log = Worker("system"), list[str]()
    bad, good = Job("bad", log), Job("good", log)
    worker.submit(bad)
    worker.submit(good)
    await good.ended.wait()

    assert bad.ends == ["OSError"]
    assert good.ends == ["finished"]
    await worker.close()


async def test_what_nobody_wants_is_not_run() -> None:
    worker, log, gate = Worker("system"), list[str](), threading.Event()
    first, gone = Job("a", log, gate), Job("b", log)
    worker.submit(first)
    worker.submit(gone)
    gone.wanted = False
    gate.set()
    await gone.ended.wait()

    assert log == ["a"]
    assert gone.ends == ["Busy"]
    await worker.close()


async def test_what_is_withdrawn_ends_at_once_if_it_still_waits() -> None:
    worker, log, gate = Worker("system"), list[str](), threading.Event()
    running, waiting, behind = Job("a", log, gate), Job("b", log), Job("b", log)
    for job in (running, waiting, behind):
        worker.submit(job)
    worker.withdraw(waiting)
    assert waiting.ends == ["Busy"]
    worker.withdraw(running)
    worker.withdraw(waiting)
    assert running.ends == []
    gate.set()
    await behind.ended.wait()

    assert (running.ends, waiting.ends, log) == (["finished"], ["Busy"], ["a", "b"])
    await worker.close()


async def test_close_ends_what_waits_and_waits_for_what_runs() -> None:
    worker, log, gate = Worker("system"), list[str](), threading.Event()
    running, waiting = Job("a", log, gate), Job("b", log)
    worker.submit(running)
    worker.submit(waiting)
    closing = asyncio.create_task(worker.close())
    await waiting.ended.wait()
    assert running.ends == []
    gate.set()
    await closing
    await running.ended.wait()

    assert (running.ends, waiting.ends, log) == (["finished"], ["Busy"], ["a"])
