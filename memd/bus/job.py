"""org.memd1.Job at /org/memd1/job/N: long work that may be cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from memd.bus.objects import Answer, Object
from memd.names import JOB, ROOT_PATH
from memd.service.jobs import Job, Jobs


def job(facts: Job, jobs: Jobs, administrator: Callable[[str, str], Awaitable[None]]) -> Object:
    """`administrator(sender, method)` raises AccessDenied for anybody else."""

    async def cancel(sender: str) -> Answer:
        await administrator(sender, "Cancel")
        jobs.cancel(facts.number)
        return Answer()

    return Object(JOB, properties(facts), {"Cancel": cancel})


def path(number: int) -> str:
    return f"{ROOT_PATH}/job/{number}"


def properties(facts: Job) -> dict[str, object]:
    return {"State": facts.state, "Progress": facts.progress, "Message": facts.message, "Device": facts.device}
