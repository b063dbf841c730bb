"""A live change of one zram device, in a process of its own: `memd --change-swap`.

What the kernel takes at once is written. For the rest a second device is made and switched on, then the first one is drained by swapoff
in a child and given back. Nothing is reset while it is in use, and there is never less swap than before: until the first device is off,
whatever fails or is cancelled ends with the second one off again; if even that fails, both stay on, and that is told.

Lines on stdout are for the daemon: `progress 0.42`, `done WORDS`, `cancelled WORDS`, `failed ERROR WORDS`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Protocol

from memd import errors
from memd.early import Noun, Swap, ZramSettings, ZramStat
from memd.errors import Busy, Failed, InvalidArgs, MemdError, NoMemory, NoSuchDevice
from memd.kernel import zram, zramtune
from memd.kernel.root import Root
from memd.kernel.swapoffchild import SwapoffChild
from memd.policy import zramlive, zramplan, zramsections, zramsize
from memd.service import swapper
from memd.service.zramcalls import Calls
from memd.service.zramclaim import reason
from memd.service.zramdrain import Cancelled, Drain
from memd.service.zramlock import Lock
from memd.units import format_size

STARTED = 0.01


class Wish(Noun):
    """`target`: `zram1`, or a section as in `[Zram slow]`; `settings`: keys and values to keep in the drop-in, "" to take one back; `keys`:
    which of zramlive's keys to look at."""

    target: str
    settings: dict[str, str] = {}  # noqa: RUF012 - a Noun is frozen
    keys: tuple[str, ...] = ()


class Words:
    """stdout, which may be gone without any harm to the work."""

    def __call__(self, *words: object) -> None:
        try:
            print(*words, flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as this process runs


class Files(Protocol):
    """The configuration (config_dropin.DropIn): as it is, as it would be, and kept."""

    def devices(self) -> tuple[ZramSettings, ...]: ...
    def propose(self, section: str, settings: dict[str, str]) -> tuple[ZramSettings, ...]: ...
    def keep(self) -> None: ...


def main(root: Root, wish: Wish, files: Files) -> int:
    """The exit status: 0 done, 1 not."""
    say = Words()
    change = Change(root, wish, files, say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, change.cancel)
    try:
        say("done", change.run())
    except Cancelled as error:
        say("cancelled", error)
        return 1
    except (MemdError, OSError, errors.BadKernelFile) as error:
        say("failed", type(error).__name__ if isinstance(error, MemdError) else "Failed", reason(error))
        return 1
    return 0


class Change:
    """One change. `make`: how a swapoff is started, for tests."""

    def __init__(
        self,
        root: Root,
        wish: Wish,
        files: Files,
        say: Callable[..., None],
        calls: Calls | None = None,
        make: Callable[[Root, str], SwapoffChild] = SwapoffChild,
    ) -> None:
        self._root, self._wish, self._files, self._say = root, wish, files, say
        self._calls = calls or Calls(root)
        self._drain = Drain(root, say, make)

    def cancel(self, *_: object) -> None:
        self._drain.cancel()

    def run(self) -> str:
        """What was done, in a sentence."""
        lock = Lock(self._root, "hot_add")
        try:
            lock.take()
            return self._run()
        except BlockingIOError:
            raise Busy("zram is being changed already; see `memctl zram`, and try again when that is done") from None
        finally:
            lock.release()

    def _run(self) -> str:
        if zramlive.GONE in self._wish.keys:
            return self._remove()
        old, devices = self._before()
        proposed = self._files.propose(zramsections.title(old.name)[1:-1], self._wish.settings)
        wanted = next(each for each in proposed if each.name == old.name)
        given = zramlive.to_check(old, wanted, tuple(self._wish.settings)) if self._wish.settings else ()
        sections = tuple(each.name for each in proposed)
        done = self._change(wanted, (*self._wish.keys, *given), sections, devices)
        self._files.keep()
        return "; ".join((done, *dict.fromkeys(self._drain.notes)))

    def _remove(self) -> str:
        """What a section that has gone leaves behind is drained, where there is room."""
        section = self._wish.target[1:-1].partition(" ")[2]
        configured = tuple(device.name for device in self._files.devices() if device.enabled)
        if not section or section in configured:
            raise Busy(f"{self._wish.target} is in the configuration; nothing was switched off")
        done = [self._off(name, (*configured, section)) for name in self._left(section, configured)]
        return "; ".join((*done, *dict.fromkeys(self._drain.notes))) or f"{self._wish.target} had no device"

    def _left(self, section: str, configured: tuple[str, ...]) -> list[str]:
        facts = swapper.look(self._root, (*configured, section), labels=True)
        own = zramsections.label(section)
        labels = dict(zip((stat.name for stat in facts.stats), facts.labels, strict=True))
        return [name for name in zramsections.all_of(facts, section) if labels[name] == own]

    def _off(self, name: str, sections: tuple[str, ...]) -> str:
        facts = swapper.look(self._root, sections)
        swap = next(swap for swap in facts.swaps or () if zramsections.zram_name(swap) == name)
        refusal = zramlive.no_room_without(facts.memory, facts.swaps or (), swap)
        if refusal:
            raise NoMemory(refusal)
        self._drain.run(name, None)
        return f"{name} is off, because {self._wish.target} has gone"

    def _before(self) -> tuple[ZramSettings, list[str]]:
        """The section as it is configured now, and its devices that are swap: the one to keep last."""
        configured = self._files.devices()
        names = tuple(device.name for device in configured)
        facts = swapper.look(self._root, names, labels=True)
        title = self._wish.target
        owner = {device: section for section, device in zramsections.devices_of(facts).items()}
        section = owner.get(title) if zram.is_name(title) else title[1:-1].partition(" ")[2]
        if section is None or section not in names:
            raise NoSuchDevice(f"{title} is no zram swap that a section of memd.conf stands for; see `memctl zram`")
        return configured[names.index(section)], zramsections.all_of(facts, section)

    def _change(
        self, wanted: ZramSettings, keys: tuple[str, ...], sections: tuple[str, ...], devices: list[str]
    ) -> str:
        if not devices:
            outcome = swapper.set_up(self._root, wanted, self._calls, sections=sections)
            if outcome.state == "failed":
                raise Failed(outcome.reason)
            return outcome.reason
        *left, name = devices
        for each in left:
            self._drain.notes.append(f"{each} was left from a change that was cut short; it is off now")
            self._drain.run(each, None)
        facts = swapper.look(self._root, sections)
        pairs = {stat.name: (stat, swap) for stat, swap in zramsections.active_zram(facts.stats, facts.swaps or ())}
        stat, swap = pairs[name]
        self._sensible(wanted, facts)
        plan = zramplan.fresh(wanted, facts)
        change = zramlive.change(keys, wanted, plan, stat, swap, *(facts.swaps or ()))
        if change.move and plan.outcome:
            raise InvalidArgs(f"{plan.outcome.reason}; swap that is on is not taken away: switch it off with swapoff")
        if change.move:
            return self._move(wanted, plan, change, stat, swap, facts)
        return self._write(change, stat)

    def _sensible(self, wanted: ZramSettings, facts: zramsections.Facts) -> None:
        """At boot a wrong size never costs the machine its swap; here it is refused. BadValue tells what is wrong."""
        for text in (wanted.size, wanted.mem_limit or "0"):
            zramsize.size(text, zramplan.ram(facts.memory), facts.page)

    def _write(self, change: zramlive.Change, stat: ZramStat) -> str:
        """What the kernel takes at once."""
        below = zramlive.below_use(change.limit, stat)
        if below:
            raise Failed(below)
        done = []
        if change.limit is not None:
            zramtune.set_limit(self._root, stat.name, change.limit)
            done.append(f"limit {format_size(change.limit) if change.limit else 'none'}")
        if change.batch is not None and not zramtune.has(self._root, stat.name, "writeback_batch_size"):
            self._drain.notes.append(f"WritebackBatch={change.batch} is left away: this kernel does not have it")
        elif change.batch is not None:
            zramtune.set_batch(self._root, stat.name, change.batch)
            done.append(f"writeback batch {change.batch}")
        return f"{stat.name}: {', '.join(done) or 'nothing to change'}"

    def _move(
        self,
        wanted: ZramSettings,
        plan: zramplan.Plan,
        change: zramlive.Change,
        stat: ZramStat,
        swap: Swap,
        facts: zramsections.Facts,
    ) -> str:
        refusal = zramlive.no_room(facts.memory, facts.swaps or (), swap, plan.disksize)
        if refusal:
            raise NoMemory(refusal)
        below = zramlive.below_use(plan.limit, stat)
        if below:
            raise Failed(below)
        self._say("progress", STARTED)
        held = zramtune.backing(self._root, stat.name)
        new = self._second(wanted, facts, stat.name)
        if held and wanted.backing_device and not zramtune.backing(self._root, new):
            new = self._with_backing(wanted, facts, new)
        return f"{stat.name} -> {new}: {', '.join(change.move)}"

    def _second(self, wanted: ZramSettings, facts: zramsections.Facts, old: str) -> str:
        """The name of the new device, when the old one is off."""
        outcome = swapper.set_up(self._root, wanted, self._calls, sections=facts.sections, fresh=True)
        self._drain.notes += outcome.notes
        if outcome.state != "active" or outcome.device is None:
            raise Failed(f"the second device could not be made: {outcome.reason}")
        self._drain.run(old, outcome.device)
        return outcome.device

    def _with_backing(self, wanted: ZramSettings, facts: zramsections.Facts, name: str) -> str:
        """The old device had the backing device for itself until it was off: so once more. What fails now costs writing back alone."""
        self._drain.notes[:] = [note for note in self._drain.notes if "BackingDevice=" not in note]
        try:
            return self._second(wanted, facts, name)
        except (MemdError, OSError) as error:
            self._drain.notes.append(f"{name} has no backing device: {reason(error)}")
            return name
