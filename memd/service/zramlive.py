"""Live changes of zram: asked for on the bus or by a reload, made by a process of its own (service/zrammove.py), followed as a job."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Mapping
from typing import Protocol

from memd import errors
from memd.early import ZramSettings
from memd.errors import BadKernelFile, Busy, Failed, MemdError, PressureTooHigh
from memd.kernel.helper import Helper
from memd.kernel.root import Root
from memd.model import Config, Event, Level
from memd.names import MESSAGE_ZRAM_CHANGED
from memd.policy import zramlive
from memd.policy.zramsections import all_of, title
from memd.service import swapper
from memd.service.jobs import Cancelled, Job, Jobs
from memd.service.listener import Listener

Target = tuple[str, tuple[str, ...]]  # a device or section, and the keys to look at
NO_WORD = (
    "the change ended with status {0}, and no word: the OOM killer, or somebody; a reload of memd ends what it began"
)
QUIET = (Level.NONE, Level.LOW)


class Files(Protocol):
    """The configuration (config_dropin.DropIn): as it is; keys and values as it takes them, or InvalidArgs; options that name it."""

    words: tuple[str, ...]

    def devices(self) -> tuple[ZramSettings, ...]: ...
    def check(self, given: Mapping[str, str]) -> dict[str, str]: ...


class ZramLive(Listener):
    """`devices`: what is configured, set by the wiring; `level`: the pressure, asked when a change is about to begin."""

    def __init__(
        self,
        root: Root,
        files: Files,
        jobs: Jobs,
        level: Callable[[], Level],
        tell: Callable[[Event], None],
        helper: Callable[..., Helper] = Helper,
    ) -> None:
        self._root, self._files, self._jobs, self._level, self._tell = root, files, jobs, level, tell
        self._helper = helper
        self.devices: tuple[ZramSettings, ...] = ()
        self._drained: dict[int, Helper] = {}  # job -> what may be stopped; not one that was forced
        self._pressed = set[int]()

    def moved(self, level: Level, _previous: Level) -> None:
        """What is being drained backs out, as if it were cancelled, before the OOM killer comes."""
        if level == Level.CRITICAL:
            for number, helper in self._drained.items():
                self._pressed.add(number)
                helper.stop()

    def stalled(self, level: Level) -> None:
        self.moved(level, level)

    def set(self, device: str, given: Mapping[str, str], *, force: bool = False) -> Job:
        """Begins a change of `device` (`zram0`). `given`: keys of [Zram] in any case, values as in memd.conf, "" to take one back.
        InvalidArgs, PressureTooHigh, Busy."""
        settings = self._files.check(given)
        self._bearable(force)
        return self._start([(device, ())], settings, force=force)

    def configure(self, settings: Config) -> list[Job]:
        """After a reload: one job for all devices whose keys have changed, and those whose section has gone. What can't be done now stands
        in the journal."""
        old = {device.name: device for device in self.devices}
        self.devices = settings.zrams
        changes = [(title(new.name), _keys(old.get(new.name), new)) for new in settings.zrams if new.enabled]
        wanted = [(target, keys) for target, keys in changes if keys]
        wanted += [(title(name), (zramlive.GONE,)) for name in zramlive.gone(tuple(old.values()), settings.zrams)]
        if not wanted:
            return []
        try:
            self._bearable(force=False)
            return [self._start(wanted, {})]
        except MemdError as error:
            self._tell(_event(", ".join(target for target, _ in wanted), "failed", str(error), 4))
            return []

    async def finish_what_was_cut_short(self) -> list[Job]:
        """At start and reload: where a change left two devices for one section, one of them is drained; none while a change runs."""
        sections = await asyncio.to_thread(self._doubled)
        try:
            return [self._start([(title(section), ()) for section in sections], {})] if sections else []
        except Busy:
            return []

    def _doubled(self) -> list[str]:
        names = tuple(device.name for device in self.devices)
        try:
            facts = swapper.look(self._root, names, labels=True)
        except (OSError, BadKernelFile):
            return []
        return [name for name in names if len(all_of(facts, name)) > 1]

    def _bearable(self, force: bool) -> None:  # noqa: FBT001 - an option as it came
        level = self._level()
        if level not in QUIET and not force:
            raise PressureTooHigh(
                f"memory pressure is {level}, and draining a device makes more of it; try again later, or with option force"
            )

    def _start(self, changes: list[Target], settings: Mapping[str, str], *, force: bool = False) -> Job:
        return self._jobs.start("zram", functools.partial(self._run, changes, settings, force=force))

    async def _run(self, changes: list[Target], settings: Mapping[str, str], job: Job, *, force: bool) -> str:
        """One after the other; the first that fails or is cancelled is the last."""
        done = []
        for number, (target, keys) in enumerate(changes, 1):
            job.progress = 0.0
            unit = f"memd-change-{os.getpid()}-{job.number}-{number}"
            done.append(await self._change(target, keys, settings, job, unit, force=force))
        return "; ".join(done)

    async def _change(
        self, target: str, keys: tuple[str, ...], settings: Mapping[str, str], job: Job, unit: str, *, force: bool
    ) -> str:
        words = ["--change-swap", target, "--keys", " ".join(keys)]
        words += ["--settings", "\n".join(f"{key}={value}" for key, value in settings.items())]
        words += self._files.words
        words += [] if self._root.is_machine else ["--root", self._root.directory]
        helper = self._helper(self._root, unit, words)
        job.stop = helper.stop
        end: list[str] = []
        self._drained |= {} if force else {job.number: helper}
        try:
            status = await helper.run(lambda line: _heard(line, job, end))
        finally:
            self._drained.pop(job.number, None)
        pressed = job.number in self._pressed
        self._pressed.discard(job.number)
        if settings:
            self.devices = await asyncio.to_thread(self._files.devices)
        return self._ended(target, end, status, pressed=pressed)

    def _ended(self, target: str, end: list[str], status: int, *, pressed: bool) -> str:
        word, _, rest = (end[-1] if end else "").partition(" ")
        if word == "done":
            self._tell(_event(target, "done", rest, 5))
            return rest
        kind, _, text = rest.partition(" ")
        if word == "cancelled" and pressed:
            reason = f"memory pressure became critical meanwhile; {rest}; try again later, or with option force"
            self._tell(_event(target, "failed", reason, 4))
            raise PressureTooHigh(reason)
        if word == "cancelled":
            self._tell(_event(target, "cancelled", rest, 5))
            raise Cancelled(rest)
        reason = text if word == "failed" else NO_WORD.format(status)
        self._tell(_event(target, "failed", reason, 4))
        found = getattr(errors, kind, Failed) if word == "failed" else Failed
        raise found(reason) if isinstance(found, type) and issubclass(found, MemdError) else Failed(reason)


def _keys(old: ZramSettings | None, new: ZramSettings) -> tuple[str, ...]:
    return zramlive.to_check(old, new) if old else ("Size",)


def _heard(line: str, job: Job, end: list[str]) -> None:
    word, _, rest = line.partition(" ")
    if word == "progress":
        try:
            job.progress = min(max(float(rest), 0.0), 1.0)
        except ValueError:
            return
    elif word in ("done", "failed", "cancelled"):
        end.append(line)


def _event(target: str, state: str, words: str, priority: int) -> Event:
    fields: dict[str, str | int | float] = {"MEMD_DEVICE": target, "MEMD_JOB_STATE": state}
    return Event(f"zram: change of {target} {state}: {words}", MESSAGE_ZRAM_CHANGED, priority, fields)
