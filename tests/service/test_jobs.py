"""Jobs: one at a time for a device, cancelled by asking, and a few that ended stay."""

from __future__ import annotations

import asyncio

import pytest

from memd.errors import Busy, Failed, NoSuchDevice
from memd.service.jobs import KEPT, MOST, Cancelled, Job, Jobs

pytestmark = pytest.mark.usefixtures("no_task_left")


async def test_done() -> None:
    seen: list[str] = []
    jobs = Jobs(lambda job: seen.append(job.state))

    async def work(job: Job) -> str:
        job.progress = 0.5
        return "it is done"

    job = jobs.start("zram0", work)
    assert (job.state, job.number) == ("running", 1)
    await jobs.wait(1)

    assert (job.state, job.progress, job.message) == ("done", 1.0, "it is done")
    assert seen == ["running", "done"]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Failed("no room"), "failed"),
        (Cancelled("as before"), "cancelled"),
        (OSError(5, "Input/output error"), "failed"),
    ],
)
async def test_not_done(error: Exception, state: str) -> None:
    jobs = Jobs()

    async def work(_: Job) -> str:
        raise error

    job = jobs.start("zram0", work)
    await jobs.wait(1)

    assert (job.state, job.message) == (state, str(error))


async def test_cancel_asks_once_it_runs_and_never_after() -> None:
    jobs, asked = Jobs(), asyncio.Event()

    async def work(job: Job) -> str:
        job.stop = asked.set
        await asked.wait()
        raise Cancelled("as before")

    job = jobs.start("zram0", work)
    await asyncio.sleep(0)
    jobs.cancel(1)
    await jobs.wait(1)

    assert job.state == "cancelled"
    asked.clear()
    jobs.cancel(1)
    assert not asked.is_set()
    with pytest.raises(NoSuchDevice):
        jobs.cancel(2)


async def test_one_for_each_device_and_only_so_many() -> None:
    jobs = Jobs()

    async def forever(_: Job) -> str:
        await asyncio.Event().wait()
        return ""

    jobs.start("zram0", forever)
    with pytest.raises(Busy, match="zram0 is being changed"):
        jobs.start("zram0", forever)
    for number in range(1, MOST):
        jobs.start(f"zram{number}", forever)
    with pytest.raises(Busy, match="jobs are running"):
        jobs.start("zram99", forever)
    await jobs.close()


async def test_the_last_that_ended_stay() -> None:
    jobs = Jobs()

    async def work(_: Job) -> str:
        return ""

    for number in range(KEPT + 5):
        jobs.start("zram0", work)
        await jobs.wait(number + 1)

    assert list(jobs.jobs) == list(range(6, KEPT + 6))
